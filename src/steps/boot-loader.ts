// image.install_bootloader: makes the machine's firmware start what was written. For a whole-disk image in UEFI mode these are the
// firmware's boot entries; in BIOS mode the image brings its own boot code and nothing is left to do.
// Source: deploy specification 5.1 to 5.4.

import {
  createEfiBootEntry,
  deleteEfiBootEntry,
  hasEfiBootManager,
  listEfiBootEntries,
} from "../disk/efi-boot-entries.ts";
import { type EfiLoader, findEfiLoaders } from "../disk/efi-loaders.ts";
import { probeFileSystem } from "../disk/file-system.ts";
import { HostGuard } from "../disk/host-guard.ts";
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
import type { StepContext } from "./step.ts";
import { flushFileSystems } from "./sync.ts";

export type BootLoaderContext = Pick<StepContext, "system" | "config" | "signal" | "installDevice">;

export type BootLoaderRequest = {
  readonly rootUuid: string | null;
  readonly efiSystemPartUuid: string | null;
  readonly prepBootPartUuid: string | null;
  /** `bios` (the command's default) or `uefi`; only compared with the ramdisk's own mode, for a warning. */
  readonly targetBootMode: string;
  /** Null follows the option ignore_bootloader_failure. */
  readonly ignoreBootloaderFailure: boolean | null;
};

const FIRMWARE = "/sys/firmware/efi";
/** What a whole-disk image has instead of a root file system's UUID: the MBR signature, all zero with a GPT. */
const DISK_SIGNATURE = /^0x[0-9a-f]{8}$/i;

/** @throws DeviceNotFound, CommandExecutionError, HostDiskError – only the last when failures are to be ignored. */
export async function installBootLoader(
  context: BootLoaderContext,
  request: BootLoaderRequest,
): Promise<void> {
  const { system, config } = context;
  const disk = await context.installDevice({ refresh: false });
  const guard = new HostGuard(system, { allowHostDisks: config.get("allow_host_disks") });
  await guard.assertMayDestroy(disk, "install a boot loader for");
  const mode = (await system.files.targetKind(FIRMWARE)) === "directory" ? "uefi" : "bios";
  if (request.targetBootMode !== mode)
    system.log.warning(
      `The node is to boot in ${request.targetBootMode} mode, but the ramdisk was booted in ${mode} mode; ` +
        "boot loaders are installed for the ramdisk's mode.",
    );
  const ignoreFailure = request.ignoreBootloaderFailure ?? config.get("ignore_bootloader_failure") ?? false;
  try {
    if (mode === "uefi" && (await setUpEfiBoot(context, disk, request.efiSystemPartUuid))) return;
    const { rootUuid } = request;
    if (rootUuid !== null && !DISK_SIGNATURE.test(rootUuid))
      throw new CommandExecutionError(
        `Installing a boot loader for the root file system ${rootUuid} on ${disk} is not supported by this ` +
          "release of the agent: it deploys whole-disk images, which bring their own.",
      );
    if (mode === "uefi")
      system.log.warning(
        `${disk} has no boot loader for this machine on its EFI system partition; it may not boot.`,
      );
  } catch (error) {
    context.signal.throwIfAborted();
    if (!ignoreFailure) throw error;
    system.log.warning("Ignoring that the boot loader could not be installed, as configured", error);
  }
}

/** True when boot entries were made; false when the disk offers no loader, or the ramdisk no way to make entries. */
async function setUpEfiBoot(
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
    const node = await partitionPath(system, disk, number, signal);
    const loaders = await loadersOn(context, node);
    if (loaders.length === 0) return false;
    await replaceBootEntries(context, disk, number, loaders);
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
async function mountEfiVariables({ system, signal }: BootLoaderContext): Promise<void> {
  const variables = `${FIRMWARE}/efivars`;
  if ((await system.files.list(variables)).length > 0) return;
  await system.run(["mount", "-t", "efivarfs", "efivarfs", variables], { signal });
}

/** The partition's number: by its type in the disk's table, else by the file system or partition UUID given. */
async function findEfiSystemPartition(
  { system, signal }: BootLoaderContext,
  disk: string,
  uuid: string | null,
): Promise<number> {
  const partitions = await readPartitions(system, disk);
  const byType = partitions.find(({ type }) =>
    [EFI_SYSTEM_PARTITION_GUID, EFI_SYSTEM_PARTITION_MBR].includes(type),
  );
  if (byType !== undefined) return byType.number;
  for (const partition of uuid === null ? [] : partitions) {
    const path = await partitionPath(system, disk, partition.number, signal);
    const known = [partition.uuid, (await probeFileSystem(system, path, signal)).uuid];
    if (known.some((id) => id?.toLowerCase() === uuid?.toLowerCase())) return partition.number;
  }
  throw new DeviceNotFound(
    `No EFI partition could be detected on device ${disk} and no EFI partition UUID has been recorded during ` +
      "deployment. Is the image bootable in UEFI mode?",
  );
}

async function readPartitions(
  system: BootLoaderContext["system"],
  disk: string,
): Promise<readonly Partition[]> {
  await using device = await system.blockDevices.open(disk, "read");
  try {
    return (await readPartitionTable(device)).partitions;
  } catch (error) {
    if (error instanceof PartitionTableError) return [];
    throw error;
  }
}

async function loadersOn({ system, signal }: BootLoaderContext, partition: string): Promise<EfiLoader[]> {
  await using mounted = await mountTemporarily(system, partition, { type: "vfat", readOnly: true, signal });
  return await findEfiLoaders(system.files, mounted.path, system.architecture);
}

/** Entries of the same label go first: some firmware fails the other way round. The first loader ends up first to boot. */
async function replaceBootEntries(
  { system, signal }: BootLoaderContext,
  disk: string,
  partitionNumber: number,
  loaders: readonly EfiLoader[],
): Promise<void> {
  const wanted = loaders.map(({ path, label }, index) => ({
    disk,
    partitionNumber,
    label: label ?? `ironic${index + 1}`,
    loader: `\\${path.replaceAll("/", "\\")}`,
  }));
  const labels = new Set(wanted.map(({ label }) => label));
  for (const entry of await listEfiBootEntries(system, signal)) {
    if (!labels.has(entry.label)) continue;
    system.log.info(`deleting UEFI boot entry Boot${entry.number} "${entry.label}" ${entry.path}`);
    await deleteEfiBootEntry(system, entry.number, signal);
  }
  for (const entry of wanted.reverse()) {
    system.log.info(`creating UEFI boot entry "${entry.label}" ${entry.loader} on ${disk}`);
    await createEfiBootEntry(system, entry, signal);
  }
}
