// Puts a config drive on a disk that holds a whole-disk image: into the partition labelled config-2 if the image brings
// one, else into a new partition at the end of the disk. Source: deploy specification 4.4 and 4.5.

import { DeploymentError, errorText, RestError } from "../errors.ts";
import { ProgramFailedError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { kernelName, partitionsOf } from "./block-tree.ts";
import { CONFIG_DRIVE_LIMIT } from "./config-drive-content.ts";
import { canBeMounted, rebuildAsFat } from "./config-drive-rebuild.ts";
import { probeFileSystem } from "./file-system.ts";
import { type Partition, PartitionTableError, readPartitionTable, usedPrimaries } from "./partition-table.ts";
import { partitionPath } from "./partitions.ts";
import { type RescanOptions, rescanPartitions, settleUdev } from "./rescan.ts";

const LABEL = "config-2";
const MEBIBYTE = 1024 * 1024;
const PARTITION_MEBIBYTES = CONFIG_DRIVE_LIMIT / MEBIBYTE;
/** An MBR has four places, and counts sectors in 32 bits. */
const MBR_PRIMARIES = 4;
const MAX_MBR_SECTORS = 2 ** 32;

/** `rebuild` makes a FAT file system of it in any case (option config_drive_rebuild). */
export type FillOptions = { readonly rebuild: boolean; readonly signal: AbortSignal };

export type ConfigDriveTarget = { readonly disk: string; readonly nodeUuid: string };

/**
 * Writes `content` (a file system image) to its partition; the caller has asked the host guard.
 * @returns the partition's device node
 * @throws DeploymentError naming disk and node
 */
export async function writeConfigDrive(
  system: System,
  target: ConfigDriveTarget,
  content: Uint8Array,
  options: RescanOptions & FillOptions,
): Promise<string> {
  const { disk, nodeUuid } = target;
  try {
    const partition =
      (await findByLabel(system, target, options.signal)) ??
      (await createPartition(system, target, content.length, options));
    await fillConfigDrive(system, partition, content, options);
    return partition;
  } catch (error) {
    options.signal.throwIfAborted();
    if (error instanceof RestError) throw error;
    throw new DeploymentError(
      `Failed to create config drive on disk ${disk} for node ${nodeUuid}. Error: ${errorText(error)}`,
      { cause: error },
    );
  }
}

async function findByLabel(
  system: System,
  { disk, nodeUuid }: ConfigDriveTarget,
  signal: AbortSignal,
): Promise<string | null> {
  const name = await kernelName(system, disk);
  const labelled: string[] = [];
  for (const { number } of name === null ? [] : await partitionsOf(system, name)) {
    const path = await partitionPath(system, disk, number, signal);
    if ((await probeFileSystem(system, path, signal)).label?.toLowerCase() === LABEL) labelled.push(path);
  }
  const [first, second] = labelled;
  if (first !== undefined && second !== undefined)
    throw new DeploymentError(
      `More than one partition with label "${LABEL}" exists on device ${disk} for node ${nodeUuid}: ` +
        `${first} and ${second}.`,
    );
  return first ?? null;
}

async function createPartition(
  system: System,
  target: ConfigDriveTarget,
  size: number,
  options: RescanOptions,
): Promise<string> {
  const { disk, nodeUuid } = target;
  const { label } = await tableOf(system, target);
  const isNew = await (label === "gpt"
    ? createGptPartition(system, disk, size, options.signal)
    : createMbrPartition(system, target, options.signal)
  ).catch((error: unknown) => {
    options.signal.throwIfAborted();
    if (!(error instanceof ProgramFailedError)) throw error;
    // What the tools say of it ("overlapping partitions") tells nobody what to do.
    throw new Error(
      `no partition could be made for it; does the image leave room for one behind its last partition? ${error.message}`,
      { cause: error },
    );
  });
  await rescanPartitions(system, disk, options);
  const created = (await tableOf(system, target)).partitions.find(isNew);
  if (created === undefined)
    throw new DeploymentError(
      `Disk partitioning failed on device ${disk}. Unable to retrieve config drive partition information ` +
        `for node ${nodeUuid}.`,
    );
  return partitionPath(system, disk, created.number, options.signal);
}

/** Tells the partition that was made from those that were there: never by the number alone. */
type IsNew = (partition: Partition) => boolean;

/** 64 MiB at the end; if that does not fit, as much as the content needs, wherever there is room. */
async function createGptPartition(
  system: System,
  disk: string,
  size: number,
  signal: AbortSignal,
): Promise<IsNew> {
  const uuid = crypto.randomUUID();
  const needed = `+${Math.max(1, Math.ceil(size / MEBIBYTE))}M`;
  const create = (range: string) => system.run(["sgdisk", "-n", range, "-u", `0:${uuid}`, disk], { signal });
  try {
    await create(`0:-${PARTITION_MEBIBYTES}MB:0`);
  } catch (error) {
    signal.throwIfAborted();
    system.log.info(
      `no ${PARTITION_MEBIBYTES} MiB free at the end of ${disk}, trying ${needed}: ${errorText(error)}`,
    );
    await create(`0:0:${needed}`);
  }
  return (partition) => partition.uuid === uuid;
}

async function createMbrPartition(
  system: System,
  target: ConfigDriveTarget,
  signal: AbortSignal,
): Promise<IsNew> {
  const { disk, nodeUuid } = target;
  const { partitions, primaries, size, sectorSize } = await tableOf(system, target);
  if (primaries >= MBR_PRIMARIES)
    throw new DeploymentError(
      `Config drive cannot be created for node ${nodeUuid}. Disk (${disk}) uses MBR partitioning and already ` +
        `has ${primaries} primary partitions.`,
    );
  const [start, end] =
    size / sectorSize > MAX_MBR_SECTORS ? endOfMbrReach(sectorSize) : [`-${PARTITION_MEBIBYTES}MiB`, "-0"];
  await system.run(["parted", "-a", "optimal", "-s", "--", disk, "mkpart", "primary", "fat32", start, end], {
    signal,
  });
  return (partition) => partitions.every((old) => old.start !== partition.start);
}

/** The last 64 MiB that an MBR can address, less the mebibyte that keeps the end below the limit. */
function endOfMbrReach(sectorSize: number): [start: string, end: string] {
  const reach = (MAX_MBR_SECTORS * sectorSize) / MEBIBYTE - 1;
  return [`${reach - PARTITION_MEBIBYTES}MiB`, `${reach}MiB`];
}

async function tableOf(system: System, { disk, nodeUuid }: ConfigDriveTarget) {
  await using device = await system.blockDevices.open(disk, "read");
  try {
    const table = await readPartitionTable(device);
    return {
      ...table,
      primaries: await usedPrimaries(device),
      size: device.size,
      sectorSize: device.sectorSize,
    };
  } catch (error) {
    if (!(error instanceof PartitionTableError)) throw error;
    throw new DeploymentError(
      `Failed to check the number of primary partitions present on ${disk} for node ${nodeUuid}. ` +
        `Error: ${error.message}`,
      { cause: error },
    );
  }
}

/**
 * Writes the content into its partition, and makes sure that it can be read there.
 * @throws DeploymentError if it does not fit, or cannot be made readable
 */
export async function fillConfigDrive(
  system: System,
  partition: string,
  content: Uint8Array,
  options: FillOptions,
): Promise<void> {
  await writeContent(system, partition, content);
  await settleUdev(system, options.signal);
  if (options.rebuild || !(await canBeMounted(system, partition, options.signal)))
    await rebuildAsFat(system, partition, content, options.signal);
}

async function writeContent(system: System, partition: string, content: Uint8Array): Promise<void> {
  await using device = await system.blockDevices.open(partition, "write-exclusive");
  if (content.length > device.size)
    throw new DeploymentError(
      `Config drive does not fit: it has ${content.length} bytes, partition ${partition} has ${device.size}.`,
    );
  await device.write(content, 0);
  await device.flush();
}
