// The processors, as lscpu tells them. It is run on a pipe: on a terminal its layout differs.
// Rules: hardware specification 1.2.

import { FileError } from "../system/files.ts";
import type { System } from "../system/system.ts";
import type { Cpu } from "./manager.ts";

/** @throws ProgramMissingError, ProgramFailedError: without lscpu there is no inventory. */
export async function readCpu(system: System): Promise<Cpu> {
  const cpu = parseLscpu((await system.run(["lscpu"])).stdout);
  if (cpu.flags.length > 0) return cpu;
  const flags = parseCpuInfoFlags(await readCpuInfo(system));
  if (flags.length === 0) system.log.warning("neither lscpu nor /proc/cpuinfo tells the CPU's flags");
  return { ...cpu, flags };
}

/**
 * lscpu's answers by their names in lower case; with `masks`, sets of processors are hexadecimal masks.
 * @throws ProgramMissingError, ProgramFailedError
 */
export async function readLscpu(
  system: System,
  options: { readonly masks: boolean },
): Promise<Map<string, string>> {
  return lscpuFields((await system.run(options.masks ? ["lscpu", "-x"] : ["lscpu"])).stdout);
}

/**
 * `key: value` lines; the last of equal keys wins, as the reference has it for processors of two kinds of
 * core.
 */
function lscpuFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon >= 0) fields.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return fields;
}

export function parseLscpu(text: string): Cpu {
  const fields = lscpuFields(text);
  return {
    model_name: fields.get("model name") || null,
    frequency: fields.get("cpu max mhz") || fields.get("cpu mhz") || null,
    count: countOf(fields.get("cpu(s)")),
    architecture: fields.get("architecture") || null,
    flags: words(fields.get("flags")),
    socket_count: countOf(fields.get("socket(s)")),
  };
}

/** The flags of the first processor; arm64 calls them Features. */
export function parseCpuInfoFlags(text: string): string[] {
  for (const name of ["flags", "Features"]) {
    const match = new RegExp(`^${name}[^\\S\\n]*:(.*)$`, "m").exec(text);
    if (match !== null) return words(match[1]);
  }
  return [];
}

/** Megabytes: one paragraph of up to 2 KB per processor, on machines with thousands. */
const MAX_CPUINFO = 16 * 1024 * 1024;

async function readCpuInfo(system: System): Promise<string> {
  try {
    return await system.files.readText("/proc/cpuinfo", MAX_CPUINFO);
  } catch (error) {
    if (error instanceof FileError) return "";
    throw error;
  }
}

function words(text: string | undefined): string[] {
  return (text ?? "").split(/\s+/).filter((word) => word !== "");
}

function countOf(text: string | undefined): number {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : 0;
}
