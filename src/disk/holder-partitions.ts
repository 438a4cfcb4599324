// The boot partitions beside a software RAID: one on every disk that carries the array, in the room that the creation of the array
// left for them, so that the machine boots with any of its disks missing. Partitions of an earlier deployment are
// used again. Source: deploy specification 5.7.

import { DeviceNotFound, SoftwareRAIDError } from "../errors.ts";
import type { System } from "../system/system.ts";
import { type Partition, readPartitionTable } from "./partition-table.ts";
import { partitionPath } from "./partitions.ts";
import { type RescanOptions, rescanPartitions } from "./rescan.ts";

const MEBIBYTE = 1024 * 1024;

export type HolderPartition = {
  readonly disk: string;
  readonly number: number;
  /** Device node. */
  readonly path: string;
};

/** What is put on each disk: name (a number follows), sgdisk's type and MiB. */
const KINDS = {
  esp: { name: "uefi-holder-", type: "ef00", mebibytes: 550 },
  bios: { name: "bios-boot-part-", type: "ef02", mebibytes: 2 },
} as const;

/**
 * Finds or makes the partition on each of the disks. A disk with an msdos table needs no BIOS boot partition and gets none.
 * @throws SoftwareRAIDError if a disk has no room for it, ProgramFailedError
 */
export async function holderPartitions(
  system: System,
  holders: readonly string[],
  kind: keyof typeof KINDS,
  options: RescanOptions,
): Promise<HolderPartition[]> {
  const found: HolderPartition[] = [];
  for (const [index, disk] of holders.entries()) {
    const { label, partitions, size } = await tableOf(system, disk);
    if (kind === "bios" && label === "msdos") continue;
    const { name, type, mebibytes } = KINDS[kind];
    const existing = partitions.find((partition) => partition.name.startsWith(name));
    const number =
      existing?.number ??
      (await create(system, disk, { name: `${name}${index}`, type, mebibytes, partitions, size }, options));
    found.push({ disk, number, path: await partitionPath(system, disk, number, options.signal) });
  }
  return found;
}

async function create(
  system: System,
  disk: string,
  wanted: {
    readonly name: string;
    readonly type: string;
    readonly mebibytes: number;
    readonly partitions: readonly Partition[];
    readonly size: number;
  },
  options: RescanOptions,
): Promise<number> {
  const { name, type, mebibytes } = wanted;
  const start = firstGap(wanted.partitions, wanted.size, mebibytes);
  if (start === null)
    throw new SoftwareRAIDError(
      `There is no room of ${mebibytes} MiB on ${disk} for the boot partition ${name} beside the array. Delete the RAID ` +
        "configuration and create it again: that leaves room at the start of each disk.",
    );
  const uuid = crypto.randomUUID();
  await system.run(
    [
      ...["sgdisk", "-n", `0:${start}M:+${mebibytes}M`, "-t", `0:${type}`],
      ...["-c", `0:${name}`, "-u", `0:${uuid}`, disk],
    ],
    { signal: options.signal },
  );
  await rescanPartitions(system, disk, options);
  const created = (await tableOf(system, disk)).partitions.find((partition) => partition.uuid === uuid);
  if (created === undefined)
    throw new DeviceNotFound(`The boot partition ${name} on ${disk} has not been found after creation.`);
  return created.number;
}

/** MiB from the start of the disk to the first free block that is large enough; null if there is none. */
export function firstGap(
  partitions: readonly Pick<Partition, "start" | "size">[],
  diskBytes: number,
  mebibytes: number,
): number | null {
  let free = 1;
  for (const { start, size } of [...partitions].sort((a, b) => a.start - b.start)) {
    if (free + mebibytes <= Math.floor(start / MEBIBYTE)) return free;
    free = Math.max(free, Math.ceil((start + size) / MEBIBYTE));
  }
  // The last MiB belongs to the backup of the table.
  return free + mebibytes <= Math.floor(diskBytes / MEBIBYTE) - 1 ? free : null;
}

async function tableOf(system: System, disk: string) {
  await using device = await system.blockDevices.open(disk, "read");
  return { ...(await readPartitionTable(device)), size: device.size };
}
