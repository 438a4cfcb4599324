// prepare_image's work and the deploy step write_image: puts a whole-disk image and its config drive on the install device.
// The order is the safety: everything that can be found wrong is found before the disk is touched, and a disk that
// was touched in vain does not boot. Source: deploy specification, chapters 1, 2, 4 and 8.

import type { Config } from "../config/config.ts";
import { tlsClientOptions } from "../config/tls-client-options.ts";
import { writeConfigDrive } from "../disk/config-drive.ts";
import { CONFIG_DRIVE_LIMIT, decodeConfigDrive } from "../disk/config-drive-content.ts";
import { moveBackupGpt } from "../disk/gpt-backup.ts";
import { HostGuard } from "../disk/host-guard.ts";
import { diskIdentifier, PartitionTableError, readPartitionTable } from "../disk/partition-table.ts";
import { rescanPartitions } from "../disk/rescan.ts";
import { wipeDiskMetadata } from "../disk/wipe.ts";
import { DeploymentError, errorText, InvalidCommandParamsError } from "../errors.ts";
import { type Checksum, chooseChecksum } from "../image/checksum.ts";
import { imageAuthorization } from "../image/http-auth.ts";
import { type GetSettings, shownUrl } from "../image/http-get.ts";
import { type DownloadPlan, downloadBytes } from "../image/http-source.ts";
import { type ImageInfo, isHttpUrl, parseImageInfo } from "../image/image-info.ts";
import { cacheAndWriteImage, streamImage, type TransferOptions } from "../image/image-transfer.ts";
import { wipeEnds } from "../image/stream-to-device.ts";
import type { Json } from "../json.ts";
import { environmentProxies } from "../system/proxy.ts";
import type { Step, StepContext } from "./step.ts";

/** What writing needs of a step's context; `standby.prepare_image` builds the same. */
export type WriteImageContext = Pick<
  StepContext,
  "system" | "config" | "node" | "signal" | "report" | "installDevice" | "deployment"
>;

const CHECKSUM_FILE_LIMIT = 1024 * 1024;
/** Of the packed or encoded form; what it unpacks to has a limit of its own. */
const CONFIG_DRIVE_DOWNLOAD_LIMIT = Math.ceil(CONFIG_DRIVE_LIMIT * 1.5);

/** @throws InvalidCommandParamsError: the validator of prepare_image; touches nothing. */
export function validateImageInfo(config: Config, imageInfo: Json): void {
  parseImageInfo(imageInfo, { md5Enabled: config.get("md5_enabled") });
}

/**
 * Writes the image; `configDrive` (the command's argument) wins over the one in image_info.
 * @returns the reference's text without the command's name: `image (<id>) written to device <dev> root_uuid=<id>`
 */
export async function writeImage(
  context: WriteImageContext,
  imageInfo: Json,
  configDrive: Json,
): Promise<string> {
  const { system, config, deployment } = context;
  const image = parseImageInfo(imageInfo, { md5Enabled: config.get("md5_enabled") });
  const disk = await context.installDevice({ refresh: true });
  const guard = new HostGuard(system, { allowHostDisks: config.get("allow_host_disks") });
  await guard.assertMayDestroy(disk, "write an image to");
  deployment.clear();
  const plan = await downloadPlan(context, image);
  const checksum = await findChecksum(context, image, plan);
  const configDriveContent = await loadConfigDrive(context, image, plan, configDrive);
  await transfer(context, image, disk, plan, checksum);
  const rootUuid = await finish(context, image, disk, configDriveContent);
  deployment.written({ "root uuid": rootUuid });
  return `image (${image.id}) written to device ${disk} root_uuid=${rootUuid}`;
}

export const writeImageStep: Step = {
  step: "write_image",
  priority: 0,
  interface: "deploy",
  reboot_requested: false,
  run: async (context, args) => ({
    result: `prepare_image: ${await writeImage(context, args.image_info ?? null, args.configdrive ?? null)}`,
  }),
};

async function downloadPlan({ system, config }: WriteImageContext, image: ImageInfo): Promise<DownloadPlan> {
  const environment = environmentProxies(system.environment);
  const settings: GetSettings = {
    proxy: {
      proxies: { ...environment.proxies, ...image.proxies },
      noProxy: image.noProxy ?? environment.noProxy,
    },
    tls: await tlsClientOptions(system, config),
    authorization: imageAuthorization(image.id, image.auth, {
      strategy: config.get("image_server_auth_strategy"),
      user: config.get("image_server_user"),
      password: config.get("image_server_password"),
    }),
    timeout: config.get("image_download_connection_timeout"),
  };
  return {
    imageId: image.id,
    urls: image.urls,
    settings,
    retries: config.get("image_download_connection_retries"),
    interval: config.get("image_download_connection_retry_interval"),
    maxDuration: config.get("image_download_max_duration"),
  };
}

function findChecksum(
  { system, config, signal }: WriteImageContext,
  image: ImageInfo,
  plan: DownloadPlan,
): Promise<Checksum> {
  return chooseChecksum(image, {
    md5Enabled: config.get("md5_enabled"),
    log: system.log,
    fetchText: async (url) =>
      new TextDecoder().decode(
        await downloadBytes(system, { ...plan, urls: [url] }, signal, CHECKSUM_FILE_LIMIT),
      ),
  });
}

/** The config drive's content, fetched and unpacked while the disk is still whole; null if there is none. */
async function loadConfigDrive(
  context: WriteImageContext,
  image: ImageInfo,
  plan: DownloadPlan,
  argument: Json,
): Promise<Uint8Array | null> {
  const given = argument ?? image.configDrive;
  if (given === null || given === "") return null;
  if (typeof given !== "string")
    throw new InvalidCommandParamsError("'configdrive' must be a string: base64 of gzip, or a URL.");
  const { nodeUuid } = image;
  if (!isHttpUrl(given)) return decodeConfigDrive(given, { nodeUuid, url: null });
  return decodeConfigDrive(await downloadConfigDrive(context, given, nodeUuid, plan), {
    nodeUuid,
    url: shownUrl(given),
  });
}

async function downloadConfigDrive(
  { system, signal }: WriteImageContext,
  url: string,
  nodeUuid: string,
  imagePlan: DownloadPlan,
): Promise<Uint8Array> {
  // The image server's credentials are not for whoever serves the config drive.
  const settings = { ...imagePlan.settings, authorization: null };
  const plan = { ...imagePlan, settings, imageId: "config drive", urls: [url] };
  try {
    return await downloadBytes(system, plan, signal, CONFIG_DRIVE_DOWNLOAD_LIMIT);
  } catch (error) {
    signal.throwIfAborted();
    throw new DeploymentError(
      `Can't download the configdrive content for node ${nodeUuid} from '${shownUrl(url)}'. ` +
        `Reason: ${errorText(error)}`,
      { cause: error },
    );
  }
}

async function transfer(
  context: WriteImageContext,
  image: ImageInfo,
  disk: string,
  plan: DownloadPlan,
  checksum: Checksum,
): Promise<void> {
  const { system, config, signal, report } = context;
  const options: TransferOptions = {
    plan,
    checksum,
    hashEngine: config.get("image_hash_engine"),
    format: {
      permitted: config.get("permitted_image_formats"),
      expected: image.diskFormat,
      enforce: !config.get("disable_deep_image_inspection"),
    },
    conversion: {
      memoryLimit: config.get("disk_utils.image_convert_memory_limit"),
      attempts: config.get("disk_utils.image_convert_attempts"),
    },
    prepareDevice: () => wipeDiskMetadata(system, disk, signal),
    report,
    signal,
  };
  const streams = image.streamRawImages && (image.diskFormat === "raw" || image.diskFormat === "gpt");
  await (streams ? streamImage : cacheAndWriteImage)(system, disk, options);
}

/** What is left to do once the image is on the disk. A system that would come up without its config drive must not come up. */
async function finish(
  context: WriteImageContext,
  image: ImageInfo,
  disk: string,
  configDrive: Uint8Array | null,
): Promise<string> {
  const { system } = context;
  try {
    const rootUuid = await takeOver(context, image, disk);
    const target = { disk, nodeUuid: image.nodeUuid };
    if (configDrive !== null) await writeConfigDrive(system, target, configDrive, rescan(context));
    return rootUuid;
  } catch (error) {
    await wipeDisk(system, disk);
    throw error;
  }
}

/** Never fails: it follows a failure that must not be hidden. */
async function wipeDisk(system: WriteImageContext["system"], disk: string): Promise<void> {
  try {
    await using device = await system.blockDevices.open(disk, "write-exclusive");
    await wipeEnds(device);
  } catch (error) {
    system.log.error(`cannot wipe the start and the end of ${disk} after a failed deploy`, error);
  }
}

/** Makes the kernel see the new partitions, checks that there are any, and puts the backup GPT where it belongs. */
async function takeOver(context: WriteImageContext, image: ImageInfo, disk: string): Promise<string> {
  const { system } = context;
  const { partitions, signature, label } = await readWrittenTable(system, disk);
  if (partitions.length === 0)
    throw new DeploymentError(`No partitions found on the device ${disk} after writing the image.`);
  if (label === "gpt") await fixBackupGpt(system, disk, image.nodeUuid);
  await rescanPartitions(system, disk, rescan(context));
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
    await using device = await system.blockDevices.open(disk, "write-exclusive");
    if (await moveBackupGpt(device)) system.log.info(`moved the backup GPT to the end of ${disk}`);
  } catch (error) {
    // The primary table is whole, or it would not have been read: the system boots without the backup.
    system.log.warning(
      `Failed to fix GPT partition on disk ${disk} for node ${nodeUuid}. Error: ${errorText(error)}`,
    );
  }
}

function rescan({ config, signal }: WriteImageContext) {
  return { attempts: config.get("disk_utils.partprobe_attempts"), signal };
}
