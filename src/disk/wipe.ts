// Takes everything off a disk by which firmware, a kernel or udev would recognise an old system: signatures, partition
// tables at both ends. Done before every write, because what an image does not cover stays: an old backup GPT or RAID
// superblock at the end of the disk would be found at the first boot. Source: deploy specification 2.6.

import { DeploymentError, errorText } from "../errors.ts";
import { ProgramFailedError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { devicePath, holdersOf, kernelName, partitionsOf } from "./block-tree.ts";
import { requireFree } from "./device-users.ts";
import { stopArray } from "./mdadm.ts";
import { settleUdev } from "./rescan.ts";

/** GPT entries take at least this much at either end. */
const GPT_ENTRIES_BYTES = 16_384;

/**
 * Wipes the metadata of a whole disk; the caller has asked the host guard.
 * @throws DeploymentError if something on the disk cannot be stopped, or a tool fails
 */
export async function wipeDiskMetadata(system: System, disk: string, signal: AbortSignal): Promise<void> {
  try {
    const name = (await kernelName(system, disk)) ?? "";
    const partitions = (await partitionsOf(system, name)).map((partition) => partition.name);
    for (const part of [...partitions, name]) await releaseHolders(system, part, signal);
    await requireFree(system, disk);
    for (const partition of partitions) await wipeSignatures(system, devicePath(partition), signal);
    await wipeSignatures(system, disk, signal);
    await destroyTables(system, disk, signal);
    await settleUdev(system, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new DeploymentError(`Destroying metadata failed on device ${disk}. Error: ${errorText(error)}`, {
      cause: error,
    });
  }
}

/** Removes every file system, RAID and volume signature that libblkid knows. */
export async function wipeSignatures(system: System, device: string, signal: AbortSignal): Promise<void> {
  try {
    await system.run(["wipefs", "--force", "--all", device], { signal });
  } catch (error) {
    signal.throwIfAborted();
    // Old releases have no --force.
    if (!(error instanceof ProgramFailedError)) throw error;
    await system.run(["wipefs", "--all", device], { signal });
  }
}

/**
 * Stops arrays and maps built on a device, top first: they hold it open, and their data is about to go. A disk that was part of an
 * array is assembled by udev or at start-up as soon as it is seen, so this is the ordinary case after a tenant with RAID.
 */
export async function releaseHolders(system: System, name: string, signal: AbortSignal): Promise<void> {
  for (const holder of await holdersOf(system, name)) {
    for (const part of await partitionsOf(system, holder)) await releaseHolders(system, part.name, signal);
    await releaseHolders(system, holder, signal);
    system.log.info(`stopping ${devicePath(holder)}, which is built on ${devicePath(name)}`);
    if (holder.startsWith("md")) await stopArray(system, devicePath(holder), signal);
    else if (holder.startsWith("dm-")) await removeMap(system, devicePath(holder), signal);
    else throw new Error(`${devicePath(holder)} is built on ${devicePath(name)} and cannot be released`);
  }
}

/**
 * Removes the maps of the device mapper built on a device, top first: an old logical volume, switched on by udev as soon as
 * its disk was seen, holds the device. Arrays and multipath maps stay.
 */
export async function removeMaps(system: System, name: string, signal: AbortSignal): Promise<void> {
  for (const holder of await holdersOf(system, name)) {
    const uuid = await system.files.readAttribute(`/sys/class/block/${holder}/dm/uuid`);
    if (uuid === null || uuid.startsWith("mpath-")) continue;
    await removeMaps(system, holder, signal);
    system.log.info(`removing ${devicePath(holder)}, which is built on ${devicePath(name)}`);
    await removeMap(system, devicePath(holder), signal);
  }
}

async function removeMap(system: System, device: string, signal: AbortSignal): Promise<void> {
  await system.run(["dmsetup", "remove", "--retry", device], { signal });
}

/** Destroys GPT and MBR at their places, and wherever their headers said that more of them is. */
export async function destroyTables(system: System, device: string, signal: AbortSignal): Promise<void> {
  const isAllZero = await zeroTables(system, device);
  // After the zeroing: sgdisk stumbles over damaged tables. It fails, too, where there is no room for a GPT, as in an extended partition,
  // of which the kernel shows a kibibyte.
  if (!isAllZero) await system.run(["sgdisk", "-Z", device], { signal });
}

/** Boot sector, header and entries at the start, entries and header at the end. @returns true if the device has nothing else */
async function zeroTables(system: System, path: string): Promise<boolean> {
  await using device = await system.blockDevices.open(path, "write-exclusive");
  const entrySectors = Math.ceil(GPT_ENTRIES_BYTES / device.sectorSize);
  const start = Math.min(device.size, (2 + entrySectors) * device.sectorSize);
  const end = Math.min(device.size, (1 + entrySectors) * device.sectorSize);
  await device.write(new Uint8Array(start), 0);
  await device.write(new Uint8Array(end), device.size - end);
  await device.flush();
  return start + end >= device.size;
}
