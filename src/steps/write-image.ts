// prepare_image's work and the deploy step write_image: puts an image and its config drive on the install device. Here is what
// whole-disk and partition images have in common. The order is the safety: everything that can be found wrong is
// found before the disk is touched, and a disk that was touched in vain does not boot. Source: deploy specification, chapters 1, 2, 4 and 8.

import type { Config } from "../config/config.ts";
import { tlsClientOptions } from "../config/tls-client-options.ts";
import { buildConfigDrive } from "../disk/config-drive-build.ts";
import { CONFIG_DRIVE_LIMIT, decodeConfigDrive } from "../disk/config-drive-content.ts";
import { describeDiskFault, isDiskFault } from "../disk/disk-fault.ts";
import { HostGuard } from "../disk/host-guard.ts";
import { DeploymentError, errorText, ImageWriteError, InvalidCommandParamsError } from "../errors.ts";
import { type Checksum, chooseChecksum } from "../image/checksum.ts";
import { imageAuthorization } from "../image/http-auth.ts";
import { type GetSettings, shownUrl } from "../image/http-get.ts";
import { type DownloadPlan, downloadBytes } from "../image/http-source.ts";
import { type ImageInfo, isHttpUrl, parseImageInfo } from "../image/image-info.ts";
import { cacheAndWriteImage, placeOrCacheImage, streamImage } from "../image/image-transfer.ts";
import type { ImageTarget, TransferOptions } from "../image/transfer-options.ts";
import { isJsonObject, type Json } from "../json.ts";
import { environmentProxies } from "../system/proxy.ts";
import type { WrittenImage } from "./deployment.ts";
import type { ImageJob, WriteImageContext } from "./image-job.ts";
import { imageIdentity, renewConfigDrive, tableText } from "./same-image.ts";
import type { Step } from "./step.ts";
import { writePartitionImage } from "./write-partition-image.ts";
import { writeWholeDisk } from "./write-whole-disk.ts";

const CHECKSUM_FILE_LIMIT = 1024 * 1024;
/** Of the packed or encoded form; what it unpacks to has a limit of its own. */
const CONFIG_DRIVE_DOWNLOAD_LIMIT = Math.ceil(CONFIG_DRIVE_LIMIT * 1.5);

/** @throws InvalidCommandParamsError: the validator of prepare_image; touches nothing. */
export function validateImageInfo(config: Config, imageInfo: Json): void {
  parseImageInfo(imageInfo, { md5Enabled: config.get("md5_enabled") });
}

export type WriteOutcome = {
  readonly id: string;
  readonly disk: string;
  /** `root_uuid=…` and what else a conductor looks for. */
  readonly identifiers: string;
  /** The very same was there already, and was left. */
  readonly kept: boolean;
};

/**
 * Writes the image; `configDrive` (the command's argument) wins over the one in image_info.
 * @returns the reference's text without the command's name: `image (<id>) written to device <dev> root_uuid=<id>`
 */
export async function writeImage(
  context: WriteImageContext,
  imageInfo: Json,
  configDrive: Json,
): Promise<string> {
  const { id, disk, identifiers } = await bringImage(context, imageInfo, configDrive, { force: false });
  return `image (${id}) written to device ${disk} ${identifiers}`;
}

/** The same, with the outcome in parts; `force` writes what is there already once more. */
export async function bringImage(
  context: WriteImageContext,
  imageInfo: Json,
  configDrive: Json,
  { force }: { readonly force: boolean },
): Promise<WriteOutcome> {
  const { system, config, deployment } = context;
  const image = parseImageInfo(imageInfo, { md5Enabled: config.get("md5_enabled") });
  const disk = await context.installDevice({ refresh: true });
  const guard = new HostGuard(system, { allowHostDisks: config.get("allow_host_disks") });
  await guard.assertMayDestroy(disk, "write an image to");
  const before = deployment.clear();
  const plan = await downloadPlan(context, image);
  const checksum = await findChecksum(context, image, plan);
  const configDriveContent = await loadConfigDrive(context, image, plan, configDrive);
  const job: ImageJob = {
    image,
    disk,
    configDrive: configDriveContent,
    transfer: (target) => transfer(context, image, target, plan, checksum),
  };
  const identity = await imageIdentity(context, image, checksum, disk, configDriveContent);
  const kept =
    !force &&
    before?.identity === identity &&
    before.table !== null &&
    before.table === (await tableText(context, disk));
  if (kept) system.log.info(`image ${image.id} is on ${disk} already; only its config drive is written`);
  const written = await namingTheDisk(context, disk, async () => {
    if (!kept) return await writeJob(context, job);
    await renewConfigDrive(context, job, before.image);
    return before.image;
  });
  deployment.written(written, { identity, table: await tableText(context, disk) });
  return { id: image.id, disk, identifiers: identifiers(written), kept };
}

function writeJob(context: WriteImageContext, job: ImageJob): Promise<WrittenImage> {
  const { partition } = job.image;
  return partition === null ? writeWholeDisk(context, job) : writePartitionImage(context, job, partition);
}

/** A device's fault is told with what identifies the disk, and with what the kernel saw. */
async function namingTheDisk<T>(
  { system }: WriteImageContext,
  disk: string,
  write: () => Promise<T>,
): Promise<T> {
  try {
    return await write();
  } catch (error) {
    const isKnown = error instanceof ImageWriteError || error instanceof DeploymentError;
    if (!isKnown || !isDiskFault(error.cause)) throw error;
    const Same = error instanceof ImageWriteError ? ImageWriteError : DeploymentError;
    const said = error.details.replace(/[^.]$/, "$&.");
    throw new Same(`${said} ${await describeDiskFault(system, disk)}`, { cause: error.cause });
  }
}

/** Old conductors take the text apart at its blanks and look for these words. */
function identifiers({ uuids, netboot }: WrittenImage): string {
  const esp = uuids["efi system partition uuid"] ?? null;
  const words = [`root_uuid=${uuids["root uuid"]}`];
  if (esp !== null && !netboot) words.push(`efi_system_partition_uuid=${esp}`);
  return words.join(" ");
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
  const { nodeUuid } = image;
  if (isJsonObject(given)) {
    const { uuid, name } = context.node;
    const node = {
      uuid: typeof uuid === "string" ? uuid : nodeUuid,
      name: typeof name === "string" ? name : null,
    };
    return buildConfigDrive(context.system, given, node, context.signal);
  }
  if (typeof given !== "string")
    throw new InvalidCommandParamsError(
      "'configdrive' must be base64 of gzip, a URL, or an object of meta_data, network_data, user_data and vendor_data.",
    );
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
  target: ImageTarget,
  plan: DownloadPlan,
  checksum: Checksum,
): Promise<void> {
  const { system, config, signal, report } = context;
  const options: TransferOptions = {
    target,
    plan,
    checksum,
    hashEngine: config.get("image_hash_engine"),
    format: {
      permitted: config.get("permitted_image_formats"),
      expected: image.diskFormat,
      enforce: !config.get("disable_deep_image_inspection"),
    },
    streamRaw: image.streamRawImages,
    unpack: config.get("unpack_raw_images"),
    verifyWritten: config.get("verify_written_image"),
    conversion: {
      memoryLimit: config.get("disk_utils.image_convert_memory_limit"),
      attempts: config.get("disk_utils.image_convert_attempts"),
    },
    report,
    signal,
  };
  const streams = image.streamRawImages && (image.diskFormat === "raw" || image.diskFormat === "gpt");
  if (streams) await streamImage(system, options);
  else await (config.get("stream_qcow2_images") ? placeOrCacheImage : cacheAndWriteImage)(system, options);
}
