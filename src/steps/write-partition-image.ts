// A partition image: the image is the root file system, and the agent makes the disk around it: partition table, boot
// partition, swap, ephemeral storage, config drive. Source: deploy specification, chapter 3.

import { fillConfigDrive } from "../disk/config-drive.ts";
import { ISO_BLOCK } from "../disk/config-drive-content.ts";
import { probeFileSystem } from "../disk/file-system.ts";
import { makeFileSystem, makeSwap } from "../disk/make-file-system.ts";
import { type PartitionLayout, type PartitionRole, planPartitions } from "../disk/partition-layout.ts";
import {
  createPartitions,
  findPartitions,
  type PartitionPaths,
  requireLayoutFits,
} from "../disk/partitioner.ts";
import { rescanPartitions } from "../disk/rescan.ts";
import {
  DeploymentError,
  errorText,
  ImageWriteError,
  InvalidCommandParamsError,
  RestError,
} from "../errors.ts";
import type { PartitionRequest } from "../image/image-info.ts";
import { wipeAfterFailure, wipeEnds } from "../image/stream-to-device.ts";
import type { JsonObject } from "../json.ts";
import { ProgramFailedError } from "../system/programs.ts";
import { type BootMode, diskLabel, nodeBootMode } from "./boot-mode.ts";
import type { WrittenImage } from "./deployment.ts";
import { type ImageJob, rescanOptions, type WriteImageContext } from "./image-job.ts";

const MEBIBYTE = 1024 * 1024;
/** What a FAT config drive gets. */
const FAT_MIB = 64;
/** Labels by which images mount them. */
const LABELS = { esp: "efi-part", swap: "swap1", ephemeral: "ephemeral0" } as const;

export async function writePartitionImage(
  context: WriteImageContext,
  job: ImageJob,
  request: PartitionRequest,
): Promise<WrittenImage> {
  const { system } = context;
  const bootMode = request.bootMode ?? (await nodeBootMode(system, context.node));
  const layout = planPartitions({
    bootMode,
    label: diskLabel(context.node, bootMode, request.label),
    netboot: request.netboot,
    ephemeralMiB: request.ephemeralMiB,
    swapMiB: request.swapMiB,
    configDriveMiB: await configDriveSize(context, job),
    rootMiB: request.rootMiB,
    efiSystemPartitionMiB: context.config.get("disk_utils.efi_system_partition_size"),
    biosBootPartitionMiB: context.config.get("disk_utils.bios_boot_partition_size"),
  });
  await requireLayoutFits(system, job.disk, layout);
  if (request.preserveEphemeral) await findPartitions(system, job.disk, layout, context.signal);
  const disk = new PreparedDisk(context, job, request, layout);
  try {
    await job.transfer({
      capacity: request.rootMiB * MEBIBYTE,
      tooLarge: (bytes) =>
        new InvalidCommandParamsError(
          "Root partition is too small for requested image. Image virtual size: " +
            `${Math.ceil(bytes / MEBIBYTE)} MB, Root size: ${request.rootMiB} MB`,
        ),
      prepare: () => disk.rootPartition(),
    });
    return { kind: "partition", uuids: await disk.finish(bootMode), netboot: request.netboot };
  } catch (error) {
    await disk.makeUnbootable();
    context.signal.throwIfAborted();
    throw error instanceof RestError ? error : writeError(job.disk, error);
  }
}

/** MiB; a config drive that will be made anew gets room for a FAT file system. */
async function configDriveSize({ system, config }: WriteImageContext, job: ImageJob): Promise<number> {
  if (job.configDrive === null) return 0;
  await using device = await system.blockDevices.open(job.disk, "read");
  const anew = config.get("config_drive_rebuild") || device.sectorSize > ISO_BLOCK;
  return anew ? FAT_MIB : Math.ceil(job.configDrive.length / MEBIBYTE);
}

/** The disk around the image, made when the first byte is about to come. */
class PreparedDisk {
  readonly #context: WriteImageContext;
  readonly #job: ImageJob;
  readonly #request: PartitionRequest;
  readonly #layout: PartitionLayout;
  #paths: PartitionPaths | null = null;
  /** True from the moment the disk is not what it was. */
  #touched = false;

  constructor(context: WriteImageContext, job: ImageJob, request: PartitionRequest, layout: PartitionLayout) {
    this.#context = context;
    this.#job = job;
    this.#request = request;
    this.#layout = layout;
  }

  /** Device node of the root partition; what stands before it is made at the first call. */
  async rootPartition(): Promise<string> {
    this.#paths ??= await this.#prepare();
    const root = this.#paths.get("root");
    if (root === undefined) throw new DeploymentError(`Root device of ${this.#job.disk} not found`);
    return root;
  }

  /**
   * After a failure, which may have come when the root file system was whole. With an ephemeral partition to keep, the table stays
   * and the start of the root partition goes. Never fails.
   */
  async makeUnbootable(): Promise<void> {
    if (!this.#touched) return;
    const target = this.#request.preserveEphemeral ? this.#paths?.get("root") : this.#job.disk;
    if (target !== undefined) await wipeAfterFailure(this.#context.system, target);
  }

  /** Swap and ephemeral storage; then the identifiers of everything, for the boot loader and the conductor. */
  async finish(bootMode: BootMode): Promise<JsonObject> {
    const { system, signal } = this.#context;
    const paths = this.#paths ?? new Map<PartitionRole, string>();
    const { ephemeralFormat: type, preserveEphemeral } = this.#request;
    const [swap, ephemeral] = [paths.get("swap"), paths.get("ephemeral")];
    if (swap !== undefined) await makeSwap(system, swap, LABELS.swap, signal);
    if (ephemeral !== undefined && !preserveEphemeral)
      await makeFileSystem(system, ephemeral, { type, label: LABELS.ephemeral, signal });
    await rescanPartitions(system, this.#job.disk, rescanOptions(this.#context));
    await this.#requireMountable(paths.get("root"));
    const esp = bootMode === "uefi" ? await this.#uuid(paths.get("efi system partition")) : null;
    return {
      partitions: Object.fromEntries(paths),
      "root uuid": await this.#uuid(paths.get("root")),
      "efi system partition uuid": esp,
    };
  }

  /** No kernel mounts a file system with blocks smaller than the disk's sectors: the machine would not come up. */
  async #requireMountable(root: string | undefined): Promise<void> {
    if (root === undefined) return;
    const { type, blockSize } = await probeFileSystem(this.#context.system, root, this.#context.signal);
    await using device = await this.#context.system.blockDevices.open(root, "read");
    if (blockSize === null || blockSize >= device.sectorSize) return;
    throw new DeploymentError(
      `The image's ${type} file system has blocks of ${blockSize} bytes, which cannot be mounted on ${this.#job.disk} with ` +
        `its sectors of ${device.sectorSize} bytes. Make the image with blocks of ${device.sectorSize} bytes (for ext4: ` +
        `mkfs.ext4 -b ${device.sectorSize}), or choose another disk by root device hints.`,
    );
  }

  async #prepare(): Promise<PartitionPaths> {
    const { system, signal } = this.#context;
    const { disk, configDrive } = this.#job;
    this.#touched = true;
    const paths = await (this.#request.preserveEphemeral
      ? this.#takeOver()
      : createPartitions(system, disk, this.#layout, rescanOptions(this.#context)));
    const [esp, drive] = [paths.get("efi system partition"), paths.get("configdrive")];
    if (esp !== undefined) await makeFileSystem(system, esp, { type: "vfat", label: LABELS.esp, signal });
    if (drive !== undefined && configDrive !== null) {
      const rebuild = this.#context.config.get("config_drive_rebuild");
      await fillConfigDrive(system, drive, configDrive, { rebuild, signal });
    }
    return paths;
  }

  /**
   * The partitions of the last deployment. Its boot code stays on the disk: without the start of the old root file system it has
   * nothing to boot if the machine loses power before the new one is whole.
   */
  async #takeOver(): Promise<PartitionPaths> {
    const { system, signal } = this.#context;
    const paths = await findPartitions(system, this.#job.disk, this.#layout, signal);
    const root = paths.get("root");
    if (root !== undefined) {
      await using device = await system.blockDevices.open(root, "write-exclusive");
      await wipeEnds(device);
    }
    return paths;
  }

  /** Of the file system, else of the partition; "" if there is neither, null without a partition. */
  async #uuid(path: string | undefined): Promise<string | null> {
    if (path === undefined) return null;
    const { uuid, partUuid } = await probeFileSystem(this.#context.system, path, this.#context.signal);
    return uuid ?? partUuid ?? "";
  }
}

function writeError(disk: string, error: unknown): ImageWriteError {
  const text =
    error instanceof ProgramFailedError
      ? `failed with exit code ${error.exitCode}. stdout: ${error.stdout.trim()}. stderr: ${error.stderr.trim()}`
      : `failed: ${errorText(error)}`;
  return new ImageWriteError(`Writing image to device ${disk} ${text}`, { cause: error });
}
