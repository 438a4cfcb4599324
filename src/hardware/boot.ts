// How the machine was booted. Rules: hardware specification 6.

import type { Config } from "../config/config.ts";
import { parseKernelLine } from "../config/kernel-line.ts";
import type { System } from "../system/system.ts";
import type { BootInfo } from "./manager.ts";

export async function readBootInfo(system: System, config: Config): Promise<BootInfo> {
  const [firmware, kernelLine] = await Promise.all([
    system.files.targetKind("/sys/firmware/efi"),
    system.files.readAttribute("/proc/cmdline"),
  ]);
  return {
    current_boot_mode: firmware === "directory" ? "uefi" : "bios",
    pxe_interface:
      config.mediaParameters.get("BOOTIF") ?? parseKernelLine(kernelLine ?? "").get("BOOTIF") ?? null,
  };
}
