// How much memory there is: what the kernel manages, and what is plugged in. The second is the reference's
// number, which it takes from lshw: the sum of the modules in SMBIOS, but never less than the memory blocks
// the kernel has online. Rules: hardware specification 1.3.

import { mapLimited } from "../map-limited.ts";
import type { System } from "../system/system.ts";
import { lshwMemory } from "./lshw.ts";
import type { Memory } from "./manager.ts";
import type { Platform } from "./platform.ts";
import { installedMemory } from "./smbios.ts";

const MIB = 2 ** 20;
const BLOCKS = "/sys/devices/system/memory";

export async function readMemory(system: System, platform: Platform): Promise<Memory> {
  const total = parseMemTotal((await system.files.readAttribute("/proc/meminfo")) ?? "");
  if (total === null) system.log.warning("/proc/meminfo does not tell the size of the memory");
  return { total, physical_mb: await physicalMegabytes(system, platform, total) };
}

/** Bytes; null without a MemTotal line. */
export function parseMemTotal(text: string): number | null {
  const match = /^MemTotal:\s*(\d+) kB$/m.exec(text);
  return match === null ? null : Number(match[1]) * 1024;
}

async function physicalMegabytes(
  system: System,
  platform: Platform,
  total: number | null,
): Promise<number | null> {
  switch (platform.source) {
    case "smbios": {
      const installed = installedMemory(platform.structures);
      const online = (await onlineMemory(system)) ?? total ?? 0;
      return Math.floor(Math.max(installed, online) / MIB);
    }
    case "lshw": {
      const megabytes = lshwMemory(platform.tree);
      if (megabytes === 0) system.log.warning("lshw tells of no memory modules");
      return megabytes;
    }
    case "none":
      return null;
  }
}

/** Bytes of all memory blocks that are online; null if the kernel does not keep blocks. */
async function onlineMemory(system: System): Promise<number | null> {
  const size = Number.parseInt((await system.files.readAttribute(`${BLOCKS}/block_size_bytes`)) ?? "", 16);
  if (!(size > 0)) return null;
  const names = (await system.files.list(BLOCKS)).filter((name) => /^memory\d+$/.test(name));
  // Machines with terabytes have tens of thousands of them.
  const states = await mapLimited(names, (name) => system.files.readAttribute(`${BLOCKS}/${name}/online`));
  return states.filter((state) => state === "1").length * size;
}
