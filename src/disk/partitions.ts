// The device node of a partition. Always by what the kernel says: the number is never glued to the disk's name, which is
// wrong in another way for each of NVMe, md, device mapper and by-path links.

import { DeviceNotFound } from "../errors.ts";
import type { System } from "../system/system.ts";
import { devicePath, holdersOf, kernelName, partitionsOf } from "./block-tree.ts";

/** A new partition's node may come late, because udev makes it. */
const ATTEMPTS = 15;

/**
 * Path of partition `number` of `disk`; waits up to 15 s for it.
 * @throws DeviceNotFound
 */
export async function partitionPath(
  system: System,
  disk: string,
  number: number,
  signal: AbortSignal,
): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const path = await findPartition(system, disk, number);
    if (path !== null && (await system.files.targetKind(path)) === "block") return path;
    if (attempt >= ATTEMPTS)
      throw new DeviceNotFound(`Partition ${number} of ${disk} has not appeared within ${ATTEMPTS} s.`);
    await system.clock.sleep(1, signal);
  }
}

async function findPartition(system: System, disk: string, number: number): Promise<string | null> {
  const name = await kernelName(system, disk);
  if (name === null) return null;
  const found = (await partitionsOf(system, name)).find((partition) => partition.number === number);
  if (found !== undefined) return devicePath(found.name);
  // Partitions of a multipath map are maps of their own, which say so in their UUID.
  for (const holder of await holdersOf(system, name)) {
    const uuid = await system.files.readAttribute(`/sys/class/block/${holder}/dm/uuid`);
    if (uuid?.startsWith(`part${number}-`)) return devicePath(holder);
  }
  return null;
}
