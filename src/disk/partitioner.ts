// Brings a planned layout onto a disk, or checks that it is there already. Source: deploy specification 3.2, 3.4, 3.5.

import { DeploymentError, errorText } from "../errors.ts";
import type { System } from "../system/system.ts";
import {
  layoutFault,
  layoutMismatch,
  type PartitionLayout,
  type PartitionRole,
  partedArguments,
} from "./partition-layout.ts";
import { PartitionTableError, readPartitionTable } from "./partition-table.ts";
import { partitionPath } from "./partitions.ts";
import { type RescanOptions, rescanPartitions } from "./rescan.ts";
import { wipeDiskMetadata, wipeSignatures } from "./wipe.ts";

const OLD_ESP =
  " Agents before release 9 made the EFI system partition 200 MiB large: the option efi_system_partition_size of [disk_utils] brings " +
  "that back.";

/** Device node by role. */
export type PartitionPaths = ReadonlyMap<PartitionRole, string>;

/** @throws DeploymentError if the disk cannot hold the layout; touches nothing */
export async function requireLayoutFits(
  system: System,
  disk: string,
  layout: PartitionLayout,
): Promise<void> {
  await using device = await system.blockDevices.open(disk, "read");
  const fault = layoutFault(layout, device.size, device.sectorSize);
  if (fault !== null) throw new DeploymentError(`Disk partitioning failed on device ${disk}: ${fault}.`);
}

/**
 * Wipes the disk and makes the partitions, free of whatever file systems lay at their places before.
 * @throws DeploymentError
 */
export async function createPartitions(
  system: System,
  disk: string,
  layout: PartitionLayout,
  options: RescanOptions,
): Promise<PartitionPaths> {
  const { signal } = options;
  await wipeDiskMetadata(system, disk, signal);
  try {
    await system.run(["parted", ...partedArguments(disk, layout)], { signal });
    await rescanPartitions(system, disk, options);
    const paths = await pathsOf(system, disk, layout, signal);
    // udev may activate an old RAID member or volume that happens to begin exactly here.
    for (const path of paths.values()) await wipeSignatures(system, path, signal);
    return paths;
  } catch (error) {
    signal.throwIfAborted();
    throw new DeploymentError(`Disk partitioning failed on device ${disk}. Error: ${errorText(error)}`, {
      cause: error,
    });
  }
}

/** @throws DeploymentError if the disk's table is not exactly the planned one; touches nothing */
export async function findPartitions(
  system: System,
  disk: string,
  layout: PartitionLayout,
  signal: AbortSignal,
): Promise<PartitionPaths> {
  const mismatch = await tableMismatch(system, disk, layout);
  if (mismatch !== null)
    throw new DeploymentError(
      `The ephemeral partition of ${disk} cannot be preserved: the disk is not partitioned as this deployment ` +
        `needs it (${mismatch}). Nothing was written. Deploy without preserve_ephemeral, or with the flavor, boot mode and ` +
        `config drive of the last deployment.${mismatch.includes("(efi system partition)") ? OLD_ESP : ""}`,
    );
  return pathsOf(system, disk, layout, signal);
}

async function tableMismatch(system: System, disk: string, layout: PartitionLayout): Promise<string | null> {
  await using device = await system.blockDevices.open(disk, "read");
  try {
    return layoutMismatch(layout, await readPartitionTable(device));
  } catch (error) {
    if (error instanceof PartitionTableError) return error.message;
    throw error;
  }
}

async function pathsOf(
  system: System,
  disk: string,
  { partitions }: PartitionLayout,
  signal: AbortSignal,
): Promise<PartitionPaths> {
  const paths = new Map<PartitionRole, string>();
  for (const { role, number } of partitions)
    paths.set(role, await partitionPath(system, disk, number, signal));
  return paths;
}
