// A whole-disk image: the image is the disk, up to the place of the backup GPT and the config drive behind it.
// Source: deploy specification 2.6, 2.7, 2.10, 3.8, 4.4 and 8.1.

import { BootHold } from "../disk/boot-hold.ts";
import { writeConfigDrive } from "../disk/config-drive.ts";
import { moveBackupGpt } from "../disk/gpt-backup.ts";
import { diskIdentifier, PartitionTableError, readPartitionTable } from "../disk/partition-table.ts";
import { rescanPartitions, settleUdev } from "../disk/rescan.ts";
import { wipeDiskMetadata } from "../disk/wipe.ts";
import { DeploymentError, errorText } from "../errors.ts";
import { imageTooLarge, wipeAfterFailure } from "../image/stream-to-device.ts";
import type { ImageTarget } from "../image/transfer-options.ts";
import type { WrittenImage } from "./deployment.ts";
import { type ImageJob, rescanOptions, type WriteImageContext } from "./image-job.ts";

export async function writeWholeDisk(context: WriteImageContext, job: ImageJob): Promise<WrittenImage> {
  const { system, signal } = context;
  const hold = job.configDrive === null ? null : new BootHold(system, signal);
  await job.transfer(await wholeDiskTarget(context, job.disk, hold));
  // A system that would come up without its config drive must not come up.
  try {
    const rootUuid = await takeOver(context, job);
    const target = { disk: job.disk, nodeUuid: job.image.nodeUuid };
    const uuids = { "root uuid": rootUuid };
    if (job.configDrive === null) return { kind: "whole disk", uuids, netboot: false };
    const configDrive = await writeConfigDrive(system, target, job.configDrive, {
      ...rescanOptions(context),
      rebuild: context.config.get("config_drive_rebuild"),
    });
    await hold?.release(job.disk);
    await settleUdev(system, signal);
    return { kind: "whole disk", uuids, netboot: false, configDrive };
  } catch (error) {
    await wipeAfterFailure(system, job.disk);
    throw error;
  }
}

async function wholeDiskTarget(
  { system, signal }: WriteImageContext,
  disk: string,
  hold: BootHold | null,
): Promise<ImageTarget> {
  await using device = await system.blockDevices.open(disk, "read");
  const { path, size } = device;
  return {
    capacity: size,
    tooLarge: (bytes) => imageTooLarge({ path, size }, `has ${bytes} bytes`),
    prepare: async () => {
      await wipeDiskMetadata(system, disk, signal);
      return disk;
    },
    ...(hold === null ? {} : { beforeHead: (opened, head) => hold.take(opened, head) }),
  };
}

/** Makes the kernel see the new partitions, checks that there are any, and puts the backup GPT where it belongs. */
async function takeOver(context: WriteImageContext, { image, disk }: ImageJob): Promise<string> {
  const { system } = context;
  const { partitions, signature, label } = await readWrittenTable(system, disk);
  if (partitions.length === 0)
    throw new DeploymentError(`No partitions found on the device ${disk} after writing the image.`);
  if (label === "gpt") await fixBackupGpt(system, disk, image.nodeUuid);
  await rescanPartitions(system, disk, rescanOptions(context));
  return diskIdentifier(signature);
}

async function readWrittenTable(system: WriteImageContext["system"], disk: string) {
  await using device = await system.blockDevices.open(disk, "read");
  try {
    return await readPartitionTable(device);
  } catch (error) {
    if (!(error instanceof PartitionTableError)) throw error;
    throw new DeploymentError(
      "Unable to find a valid partition table on the disk after writing the image. The image may be corrupted " +
        `or it uses a different sector size than the device. Error: ${error.message} (device ${disk})`,
      { cause: error },
    );
  }
}

async function fixBackupGpt(system: WriteImageContext["system"], disk: string, nodeUuid: string) {
  try {
    // Not exclusively: udev may have activated a volume group or an array of the image's.
    await using device = await system.blockDevices.open(disk, "write");
    if (await moveBackupGpt(device)) system.log.info(`moved the backup GPT to the end of ${disk}`);
  } catch (error) {
    // The primary table is whole, or it would not have been read: the system boots without the backup.
    system.log.warning(
      `Failed to fix GPT partition on disk ${disk} for node ${nodeUuid}. Error: ${errorText(error)}`,
    );
  }
}
