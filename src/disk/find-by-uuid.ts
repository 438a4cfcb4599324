// Finds the device on one disk that carries an identifier: of a file system, of a partition, or a label. A hit on another disk is
// no hit: the identifiers of images are the same on every machine they were deployed to.
// Source: deploy specification 5.6.

import { DeviceNotFound } from "../errors.ts";
import type { System } from "../system/system.ts";
import { devicePath, holdersOf, kernelName, partitionsOf } from "./block-tree.ts";
import { probeFileSystem } from "./file-system.ts";

export type FoundDevice = {
  readonly path: string;
  /** Of the partition; null if it is the disk itself or something that is built on it. */
  readonly partition: number | null;
};

/** @throws DeviceNotFound naming UUID and disk */
export async function findByUuid(
  system: System,
  disk: string,
  uuid: string,
  signal: AbortSignal,
): Promise<FoundDevice> {
  for (const candidate of await candidates(system, disk)) {
    const known = await probeFileSystem(system, candidate.path, signal);
    const ids = [known.uuid, known.partUuid, known.label];
    if (ids.some((id) => id?.toLowerCase() === uuid.toLowerCase())) return candidate;
  }
  throw new DeviceNotFound(`No partition with UUID ${uuid} found on device ${disk}`);
}

/** Partitions, what is built on them (arrays, maps, logical volumes), and the disk itself, which may hold a file system. */
async function candidates(system: System, disk: string): Promise<FoundDevice[]> {
  const name = await kernelName(system, disk);
  if (name === null) return [];
  const found: FoundDevice[] = [];
  for (const { number, name: partition } of await partitionsOf(system, name))
    found.push({ path: devicePath(partition), partition: number }, ...(await built(system, partition)));
  return [...found, ...(await built(system, name)), { path: disk, partition: null }];
}

async function built(system: System, name: string): Promise<FoundDevice[]> {
  const holders = await holdersOf(system, name);
  const above = await Promise.all(holders.map((holder) => built(system, holder)));
  return [...holders.map((holder) => ({ path: devicePath(holder), partition: null })), ...above.flat()];
}
