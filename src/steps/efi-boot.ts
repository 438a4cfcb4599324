// UEFI boot entries for the loaders on a disk's EFI system partition.
// Source: deploy specification 5.2 to 5.4, 5.7.

import {
  createEfiBootEntry,
  deleteEfiBootEntry,
  hasEfiBootManager,
  listEfiBootEntries,
} from "../disk/efi-boot-entries.ts";
import { type EfiLoader, findEfiLoaders } from "../disk/efi-loaders.ts";
import { espArray, fillEspArray, findEspArray } from "../disk/esp-array.ts";
import { probeFileSystem } from "../disk/file-system.ts";
import { findByUuid } from "../disk/find-by-uuid.ts";
import { holderPartitions } from "../disk/holder-partitions.ts";
import { isArray, type RaidArray, readArray, warnIfDegraded } from "../disk/md-arrays.ts";
import { mountTemporarily } from "../disk/mounts.ts";
import {
  EFI_SYSTEM_PARTITION_GUID,
  EFI_SYSTEM_PARTITION_MBR,
  type Partition,
  PartitionTableError,
  readPartitionTable,
} from "../disk/partition-table.ts";
import { partitionPath } from "../disk/partitions.ts";
import { rescanPartitions } from "../disk/rescan.ts";
import { CommandExecutionError, DeviceNotFound, errorText, RestError } from "../errors.ts";
import { EFI_FIRMWARE } from "./boot-mode.ts";
import type { StepContext } from "./step.ts";
import { flushFileSystems } from "./sync.ts";

export type BootLoaderContext = Pick<
  StepContext,
  "system" | "config" | "signal" | "installDevice" | "deployment"
>;

/** True when boot entries were made; false when the disk offers no loader, or the ramdisk no way to make entries. */
export async function setUpEfiBoot(
  context: BootLoaderContext,
  disk: string,
  espUuid: string | null,
): Promise<boolean> {
  const { system, config, signal } = context;
  try {
    await mountEfiVariables(context);
    if (!(await hasEfiBootManager(system))) {
      system.log.warning("efibootmgr is not in the ramdisk: no UEFI boot entry is made");
      return false;
    }
    await rescanPartitions(system, disk, {
      attempts: config.get("disk_utils.partprobe_attempts"),
      signal,
    });
    const number = await findEfiSystemPartition(context, disk, espUuid);
    const esp = await partitionPath(system, disk, number, signal);
    const raid = (await isArray(system, disk)) ? await readArray(system, disk, signal) : null;
    const mirror = raid === null ? null : await filledMirror(context, raid, esp);
    const loaders = await loadersOn(context, mirror ?? esp);
    if (loaders.length === 0) return false;
    const places =
      raid === null ? [{ disk, number, suffix: "" }] : await mirroredPlaces(context, raid, esp, mirror);
    await replaceBootEntries(context, places, loaders);
    await flushFileSystems(system, signal);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof RestError) throw error;
    throw new CommandExecutionError(`Could not configure UEFI boot on device ${disk}: ${errorText(error)}`, {
      cause: error,
    });
  }
}

/** The variables are a file system of their own, which not every ramdisk mounts. */
export async function mountEfiVariables({
  system,
  signal,
}: Pick<BootLoaderContext, "system" | "signal">): Promise<void> {
  const variables = `${EFI_FIRMWARE}/efivars`;
  if ((await system.files.list(variables)).length > 0) return;
  await system.run(["mount", "-t", "efivarfs", "efivarfs", variables], { signal });
}

/** The partition's number: by its type in the disk's table, else by the file system or partition UUID given. */
async function findEfiSystemPartition(
  { system, signal }: BootLoaderContext,
  disk: string,
  uuid: string | null,
): Promise<number> {
  const { partitions, fault } = await readPartitions(system, disk);
  const byType = partitions.find(({ type }) =>
    [EFI_SYSTEM_PARTITION_GUID, EFI_SYSTEM_PARTITION_MBR].includes(type),
  );
  if (byType !== undefined) return byType.number;
  const byUuid = uuid === null ? null : await lookFor(system, disk, uuid, signal);
  if (byUuid !== null) return byUuid;
  throw new DeviceNotFound(
    `No EFI partition could be detected on device ${disk} and no EFI partition UUID has been recorded during ` +
      `deployment. ${fault === null ? "Is the image bootable in UEFI mode?" : `Its partition table cannot be used: ${fault}.`}`,
  );
}

async function lookFor(
  system: BootLoaderContext["system"],
  disk: string,
  uuid: string,
  signal: AbortSignal,
): Promise<number | null> {
  try {
    return (await findByUuid(system, disk, uuid, signal)).partition;
  } catch (error) {
    if (error instanceof DeviceNotFound) return null;
    throw error;
  }
}

/** `fault`: why there are none. */
async function readPartitions(
  system: BootLoaderContext["system"],
  disk: string,
): Promise<{ readonly partitions: readonly Partition[]; readonly fault: string | null }> {
  await using device = await system.blockDevices.open(disk, "read");
  try {
    return { partitions: (await readPartitionTable(device)).partitions, fault: null };
  } catch (error) {
    if (error instanceof PartitionTableError) return { partitions: [], fault: error.message };
    throw error;
  }
}

async function loadersOn({ system, signal }: BootLoaderContext, partition: string): Promise<EfiLoader[]> {
  await using mounted = await mountTemporarily(system, partition, { type: "vfat", readOnly: true, signal });
  return await findEfiLoaders(system.files, mounted.path, system.architecture);
}

/** A partition that the firmware can read the loaders from, and what tells its entries from others of the same loader. */
type EspPlace = { readonly disk: string; readonly number: number; readonly suffix: string };

/** The mirror to which an earlier call has moved the ESP's content, leaving nothing; null if it is still to be moved. */
async function filledMirror(
  { system, signal }: BootLoaderContext,
  { holders }: RaidArray,
  esp: string,
): Promise<string | null> {
  const { type } = await probeFileSystem(system, esp, signal);
  return type === null ? await findEspArray(system, holders, signal) : null;
}

/**
 * Firmware cannot read an array: the ESP's content goes to a partition on each of its disks, kept alike by an array of their own.
 * @param mirror that array, if it has the content already
 */
async function mirroredPlaces(
  { system, config, signal }: BootLoaderContext,
  raid: RaidArray,
  esp: string,
  mirror: string | null,
): Promise<EspPlace[]> {
  await warnIfDegraded(system, raid);
  const { holders } = raid;
  const options = { attempts: config.get("disk_utils.partprobe_attempts"), signal };
  const members = await holderPartitions(system, holders, "esp", options);
  if (mirror === null) {
    const array = await espArray(system, members, signal);
    system.log.info(`moving the EFI system partition ${esp} to ${array} on ${holders.join(", ")}`);
    await fillEspArray(system, array, esp, signal);
  } else system.log.info(`the EFI system partition is on ${mirror} already`);
  return members.map(({ disk: holder, number }, index) => ({
    disk: holder,
    number,
    suffix: ` (RAID, part${index})`,
  }));
}

/** Entries of the same label go first: some firmware fails the other way round. The first loader ends up first to boot. */
async function replaceBootEntries(
  { system, signal }: BootLoaderContext,
  places: readonly EspPlace[],
  loaders: readonly EfiLoader[],
): Promise<void> {
  const wanted = places.flatMap(({ disk, number, suffix }) =>
    loaders.map(({ path, label }, index) => ({
      disk,
      partitionNumber: number,
      label: `${label ?? `ironic${index + 1}`}${suffix}`,
      loader: `\\${path.replaceAll("/", "\\")}`,
    })),
  );
  const labels = new Set(wanted.map(({ label }) => label));
  for (const entry of await listEfiBootEntries(system, signal)) {
    if (!labels.has(entry.label)) continue;
    system.log.info(`deleting UEFI boot entry Boot${entry.number} "${entry.label}" ${entry.path}`);
    await deleteEfiBootEntry(system, entry.number, signal);
  }
  for (const entry of wanted.reverse()) {
    system.log.info(`creating UEFI boot entry "${entry.label}" ${entry.loader} on ${entry.disk}`);
    await createEfiBootEntry(system, entry, signal);
  }
}
