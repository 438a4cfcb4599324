// Brings an image onto a device: straight through where its bytes are the disk's bytes or its tables can be read ahead, by way of
// a checked copy in memory where not. Knows nothing of Ironic; what has to happen on the disk right before the first byte
// is the caller's.

import { ImageChecksumError } from "../errors.ts";
import type { ReportProgress } from "../progress.ts";
import type { FileSource } from "../system/files.ts";
import type { System } from "../system/system.ts";
import type { Checksum } from "./checksum.ts";
import { type FormatPolicy, type ImageFormat, imageReader, inspectImage } from "./format.ts";
import { qcow2 } from "./formats/qcow2.ts";
import { type HashEngine, ImageHasher } from "./hasher.ts";
import { HttpFault } from "./http-get.ts";
import { type DownloadPlan, download, type ImageBody } from "./http-source.ts";
import { cacheImage } from "./image-cache.ts";
import { ProbedImage, ProbeLimitError } from "./probed-image.ts";
import { ProgressMeter } from "./progress-meter.ts";
import { type ClusterMap, readClusterMap } from "./qcow2/cluster-map.ts";
import { writeQcow2 } from "./qcow2/write-qcow2.ts";
import { convertToDevice } from "./qemu-img.ts";
import { streamToDevice, wipeEnds } from "./stream-to-device.ts";

/** Where an image goes: a device that may only come to be once it is sure that the image fits. */
export type ImageTarget = {
  /** Bytes it can hold. */
  readonly capacity: number;
  /** The error for an image of `bytes`, which are more than that. */
  readonly tooLarge: (bytes: number) => Error;
  /** Called right before the first byte is written, and again for each new attempt; resolves to the device's node. */
  readonly prepare: () => Promise<string>;
};

export type TransferOptions = {
  readonly target: ImageTarget;
  readonly plan: DownloadPlan;
  readonly checksum: Checksum;
  readonly hashEngine: HashEngine;
  readonly format: FormatPolicy;
  /** qemu-img's address space limit in MiB, and its runs if memory is short. */
  readonly conversion: { readonly memoryLimit: number; readonly attempts: number };
  readonly report: ReportProgress;
  readonly signal: AbortSignal;
};

/**
 * Writes a raw image to the target while it is downloaded.
 * @throws the errors of download(), streamToDevice() and the target; then nothing on the device boots
 */
export async function streamImage(system: System, options: TransferOptions): Promise<void> {
  await download(system, options.plan, options.signal, async (body) => {
    system.log.info(`streaming image ${options.plan.imageId} from ${body.source}`);
    await writeStream(system, body.chunks, body.length, options, newHasher(system, options));
  });
}

/**
 * Writes a qcow2 to the target while it is downloaded, if the server gives parts of it ahead and its tables are no larger than
 * what may be kept of them; anything else as cacheAndWriteImage does. Either way what it is was checked before the first byte is written.
 * @throws as cacheAndWriteImage
 */
export async function placeOrCacheImage(system: System, options: TransferOptions): Promise<void> {
  const { plan, signal } = options;
  await using directory = await system.files.temporaryDirectory("ironic-agent-image-");
  const path = `${directory.path}/image`;
  const placed = await download(system, plan, signal, async (body) => {
    const readAhead = await readTables(system, body, options);
    if (readAhead === null) await cache(system, body, path, options);
    else await place(system, body, readAhead, options);
    return readAhead !== null;
  });
  if (!placed) await writeCachedImage(system, path, options);
}

/**
 * Downloads an image into memory, checks what it is, and writes its content to the target; the copy is deleted in any
 * case.
 * @throws as streamImage, InvalidImage, ImageWriteError
 */
export async function cacheAndWriteImage(system: System, options: TransferOptions): Promise<void> {
  const { plan, signal } = options;
  await using directory = await system.files.temporaryDirectory("ironic-agent-image-");
  // The image's id never names a file: it comes from outside.
  const path = `${directory.path}/image`;
  await download(system, plan, signal, (body) => cache(system, body, path, options));
  await writeCachedImage(system, path, options);
}

type ReadAhead = { readonly image: ProbedImage; readonly map: ClusterMap };

/** Null if the image is none that can be placed as it comes. @throws InvalidImage, HttpFault, the target's error for its size */
async function readTables(
  system: System,
  { source, length, readRange }: ImageBody,
  options: TransferOptions,
): Promise<ReadAhead | null> {
  const { format: policy, plan, signal } = options;
  if (length === null || readRange === null || policy.expected === "raw" || policy.expected === "gpt")
    return null;
  const image = new ProbedImage(length, readRange);
  try {
    const format = await inspectImage(image, policy);
    requireFit(options, format.virtualSize);
    if (format.name !== "qcow2") return null;
    // Without enforcement the inspection lets pass what this reader cannot read.
    if ((await qcow2.inspect(imageReader(image)))?.problem !== null) return null;
    return { image, map: await readClusterMap(image, signal) };
  } catch (error) {
    const cannot =
      error instanceof ProbeLimitError ||
      (error instanceof HttpFault && (error.permanent || error.startOver));
    if (!cannot) throw error;
    system.log.info(
      `image ${plan.imageId} is copied into memory first, because it cannot be read ahead of time ` +
        `from ${source}: ${error.message}`,
    );
    return null;
  }
}

async function place(system: System, body: ImageBody, { image, map }: ReadAhead, options: TransferOptions) {
  const { plan, report, signal } = options;
  system.log.info(
    `streaming image ${plan.imageId} (qcow2, ${map.header.virtualSize} bytes in ${map.count} pieces) from ${body.source}`,
  );
  const device = await options.target.prepare();
  await using target = await system.blockDevices.open(device, "write-exclusive");
  await writeQcow2(target, image.compared(body.chunks), map, {
    hasher: newHasher(system, options),
    verify: (digest) => requireDigest(options, device, digest),
    meter: new ProgressMeter(system.clock, report, "write", body.length),
    zeroMeter: (total) => new ProgressMeter(system.clock, report, "zero", total),
    log: system.log,
    signal,
  });
}

/** Checks what a copy in memory is, and writes its content. */
async function writeCachedImage(system: System, path: string, options: TransferOptions): Promise<void> {
  const { plan } = options;
  const format = await inspectFile(system, path, options.format);
  requireFit(options, format.virtualSize);
  system.log.info(`writing image ${plan.imageId} (${format.name}, ${format.virtualSize} bytes)`);
  if (format.name === "qcow2") await convert(system, path, format, options);
  else {
    await using file = await system.files.open(path);
    await writeStream(system, chunksOf(file), file.size, options, null);
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
  chunks: AsyncIterable<Uint8Array>,
  length: number | null,
  options: TransferOptions,
  hasher: ImageHasher | null,
): Promise<void> {
  requireFit(options, length);
  const device = await options.target.prepare();
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
  format: ImageFormat,
  options: TransferOptions,
): Promise<void> {
  const device = await options.target.prepare();
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

function requireFit({ target }: TransferOptions, length: number | null): void {
  if (length !== null && length > target.capacity) throw target.tooLarge(length);
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
