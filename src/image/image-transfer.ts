// Brings an image onto a device: straight through where its bytes are the disk's bytes, by way of a checked copy in memory
// where they are not. Knows nothing of Ironic; what has to happen on the disk right before the first byte is the caller's.

import { ImageChecksumError } from "../errors.ts";
import type { ReportProgress } from "../progress.ts";
import type { FileSource } from "../system/files.ts";
import type { System } from "../system/system.ts";
import type { Checksum } from "./checksum.ts";
import { type FormatPolicy, type ImageFormat, inspectImage } from "./format.ts";
import { type HashEngine, ImageHasher } from "./hasher.ts";
import { type DownloadPlan, download, type ImageBody } from "./http-source.ts";
import { cacheImage } from "./image-cache.ts";
import { ProgressMeter } from "./progress-meter.ts";
import { convertToDevice } from "./qemu-img.ts";
import { requireFit, streamToDevice, wipeEnds } from "./stream-to-device.ts";

export type TransferOptions = {
  readonly plan: DownloadPlan;
  readonly checksum: Checksum;
  readonly hashEngine: HashEngine;
  readonly format: FormatPolicy;
  /** qemu-img's address space limit in MiB, and its runs if memory is short. */
  readonly conversion: { readonly memoryLimit: number; readonly attempts: number };
  /** Called once the image is known to fit, right before the first byte is written; again for each new attempt. */
  readonly prepareDevice: () => Promise<void>;
  readonly report: ReportProgress;
  readonly signal: AbortSignal;
};

/**
 * Writes a raw image to `device` while it is downloaded.
 * @throws the errors of download(), streamToDevice() and prepareDevice(); then nothing on the device boots
 */
export async function streamImage(system: System, device: string, options: TransferOptions): Promise<void> {
  await download(system, options.plan, options.signal, async (body) => {
    system.log.info(`streaming image ${options.plan.imageId} from ${body.source} to ${device}`);
    await writeStream(system, device, body.chunks, body.length, options, newHasher(system, options));
  });
}

/**
 * Downloads an image into memory, checks what it is, and writes its content to `device`; the copy is deleted in any case.
 * @throws as streamImage, InvalidImage, ImageWriteError
 */
export async function cacheAndWriteImage(
  system: System,
  device: string,
  options: TransferOptions,
): Promise<void> {
  const { plan, signal } = options;
  await using directory = await system.files.temporaryDirectory("ironic-agent-image-");
  // The image's id never names a file: it comes from outside.
  const path = `${directory.path}/image`;
  await download(system, plan, signal, (body) => cache(system, body, path, options));
  const format = await inspectFile(system, path, options.format);
  await requireFitOn(system, device, format.virtualSize);
  system.log.info(`writing image ${plan.imageId} (${format.name}, ${format.virtualSize} bytes) to ${device}`);
  if (format.name === "qcow2") await convert(system, path, device, format, options);
  else {
    await using file = await system.files.open(path);
    await writeStream(system, device, chunksOf(file), file.size, options, null);
  }
}

async function cache(system: System, body: ImageBody, path: string, options: TransferOptions) {
  system.log.info(`downloading image ${options.plan.imageId} from ${body.source}`);
  await cacheImage(system, body, path, {
    imageId: options.plan.imageId,
    hasher: newHasher(system, options),
    verify: (digest) => requireDigest(options, path, digest),
    meter: new ProgressMeter(system.clock, options.report, "download", body.length),
    signal: options.signal,
  });
}

async function writeStream(
  system: System,
  device: string,
  chunks: AsyncIterable<Uint8Array>,
  length: number | null,
  options: TransferOptions,
  hasher: ImageHasher | null,
): Promise<void> {
  await requireFitOn(system, device, length);
  await options.prepareDevice();
  await using target = await system.blockDevices.open(device, "write-exclusive");
  await streamToDevice(target, chunks, {
    hasher,
    verify: (digest) => {
      if (digest !== null) requireDigest(options, device, digest);
    },
    length,
    meter: new ProgressMeter(system.clock, options.report, "write", length),
    log: system.log,
    signal: options.signal,
  });
}

async function convert(
  system: System,
  path: string,
  device: string,
  format: ImageFormat,
  options: TransferOptions,
): Promise<void> {
  await options.prepareDevice();
  const meter = new ProgressMeter(system.clock, options.report, "convert", format.virtualSize);
  try {
    await convertToDevice(system, path, device, {
      format: "qcow2",
      ...options.conversion,
      onPercent: (percent) => meter.update(Math.floor((percent / 100) * format.virtualSize)),
      signal: options.signal,
    });
  } catch (error) {
    await using target = await system.blockDevices.open(device, "write-exclusive");
    await wipeEnds(target).catch((fault: unknown) => {
      system.log.error(`cannot wipe the start and the end of ${device} after a failed write`, fault);
    });
    throw error;
  }
}

async function requireFitOn(system: System, device: string, length: number | null): Promise<void> {
  await using target = await system.blockDevices.open(device, "read");
  requireFit(target, length);
}

async function inspectFile(system: System, path: string, policy: FormatPolicy): Promise<ImageFormat> {
  await using file = await system.files.open(path);
  return await inspectImage(file, policy);
}

function newHasher(system: System, { checksum, hashEngine }: TransferOptions): ImageHasher {
  return new ImageHasher({ algorithm: checksum.algorithm, engine: hashEngine, log: system.log });
}

function requireDigest({ plan, checksum }: TransferOptions, location: string, digest: string): void {
  if (digest !== checksum.expected)
    throw new ImageChecksumError(plan.imageId, location, checksum.expected, digest);
}

/** The file in pieces; one buffer is enough, because the sink copies before it asks for more. */
async function* chunksOf(file: FileSource): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(1024 * 1024);
  for (let offset = 0; offset < file.size; ) {
    const read = await file.read(buffer, offset);
    if (read === 0) return;
    yield buffer.subarray(0, read);
    offset += read;
  }
}
