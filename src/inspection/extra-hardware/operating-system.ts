// The system that is running: for an inspection, the ramdisk.

import { redactText } from "../../system/redact.ts";
import type { System } from "../../system/system.ts";
import type { Facts } from "./facts.ts";

/** The kernel's names of what the runtime calls the architecture. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };

export async function addOperatingSystem(facts: Facts, system: System): Promise<void> {
  const [release, kernel, line] = await Promise.all([
    system.files.readAttribute("/etc/os-release"),
    system.files.readAttribute("/proc/sys/kernel/osrelease"),
    system.files.readAttribute("/proc/cmdline"),
  ]);
  facts.add("system", "os", "vendor", osReleaseValue(release ?? "", "NAME"));
  facts.add("system", "os", "version", osReleaseValue(release ?? "", "PRETTY_NAME"));
  facts.add("system", "kernel", "version", kernel);
  facts.add("system", "kernel", "arch", ARCHITECTURES[system.architecture] ?? system.architecture);
  // The agent's token may stand in it, and inspection data are kept and shown.
  facts.add("system", "kernel", "cmdline", line === null ? null : redactText(line));
}

/** A variable of os-release(5), without its quotes. */
export function osReleaseValue(text: string, name: string): string | null {
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${name}=`));
  return line?.slice(name.length + 1).replace(/^(["'])(.*)\1$/, "$2") ?? null;
}
