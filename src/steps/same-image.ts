// The same image again: what this run of the agent has put on a disk is left there if the very same is asked for. An image's id proves
// nothing, being the last part of a URL, so everything that decides what gets onto the disk is compared, and the partition table must
// read as it did when the image was complete. Source: deploy specification 8.4.

import { BootHold } from "../disk/boot-hold.ts";
import { fillConfigDrive } from "../disk/config-drive.ts";
import { parsePairs } from "../disk/lsblk-media.ts";
import { PartitionTableError, readPartitionTable } from "../disk/partition-table.ts";
import { settleUdev } from "../disk/rescan.ts";
import { DeploymentError, errorText } from "../errors.ts";
import type { Checksum } from "../image/checksum.ts";
import type { ImageInfo } from "../image/image-info.ts";
import { wipeAfterFailure } from "../image/stream-to-device.ts";
import { isJsonObject } from "../json.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import { diskLabel, nodeBootMode } from "./boot-mode.ts";
import type { WrittenImage } from "./deployment.ts";
import type { ImageJob, WriteImageContext } from "./image-job.ts";

const MEBIBYTE = 1024 * 1024;

/** Text that is the same for two requests only if they put the same on the same disk. */
export async function imageIdentity(
  context: WriteImageContext,
  image: ImageInfo,
  checksum: Checksum,
  disk: string,
  configDrive: Uint8Array | null,
): Promise<string> {
  const { system, config, node } = context;
  const { partition } = image;
  const bootMode = partition === null ? null : (partition.bootMode ?? (await nodeBootMode(system, node)));
  return JSON.stringify({
    id: image.id,
    urls: image.urls,
    checksum,
    diskFormat: image.diskFormat,
    unpack: config.get("unpack_raw_images"),
    partition,
    bootMode,
    label: partition === null || bootMode === null ? null : diskLabel(node, bootMode, partition.label),
    // Without one, none may be left of the time before; with one, its partition must be of the right size.
    configDriveMiB: configDrive === null ? null : Math.ceil(configDrive.length / MEBIBYTE),
    rebuild: config.get("config_drive_rebuild"),
    disk: [disk, await hardwareOf(context, disk)],
  });
}

/** What tells this disk from another one under the same name; a disk that cannot be told is never the same. */
async function hardwareOf({ system, signal }: WriteImageContext, disk: string): Promise<unknown> {
  try {
    const columns = ["-P", "--nodeps", "--bytes", "-oSIZE,SERIAL,WWN"];
    const { stdout } = await system.run(["lsblk", ...columns, disk], { signal });
    return parsePairs(stdout).map((row) => [...row]);
  } catch (error) {
    if (!(error instanceof ProgramFailedError || error instanceof ProgramMissingError)) throw error;
    system.log.info(`${disk} cannot be told from others: ${errorText(error)}`);
    return crypto.randomUUID();
  }
}

/** How the disk is divided, as text to compare; null if it is not. */
export async function tableText({ system }: WriteImageContext, disk: string): Promise<string | null> {
  await using device = await system.blockDevices.open(disk, "read-uncached");
  try {
    return JSON.stringify(await readPartitionTable(device));
  } catch (error) {
    if (error instanceof PartitionTableError) return null;
    throw error;
  }
}

/**
 * Puts the config drive, whose content may be another one now, where the image already is.
 * @throws DeploymentError; then the disk does not boot, as it would come up with the old one
 */
export async function renewConfigDrive(
  context: WriteImageContext,
  { disk, configDrive }: ImageJob,
  written: WrittenImage,
): Promise<void> {
  if (configDrive === null) return;
  const { system, signal } = context;
  const rebuild = context.config.get("config_drive_rebuild");
  try {
    const hold = new BootHold(system, signal);
    await hold.takeFromDisk(disk);
    await fillConfigDrive(system, configDrivePartition(written), configDrive, { rebuild, signal });
    await hold.release(disk);
    await settleUdev(system, signal);
  } catch (error) {
    await wipeAfterFailure(system, disk);
    throw error;
  }
}

function configDrivePartition({ uuids, configDrive }: WrittenImage): string {
  const path = configDrive ?? (isJsonObject(uuids.partitions) ? uuids.partitions.configdrive : null);
  if (typeof path !== "string") throw new DeploymentError("The partition of the config drive is not known.");
  return path;
}
