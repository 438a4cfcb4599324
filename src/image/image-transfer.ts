// Brings an image onto a device: straight through where its bytes are the disk's bytes or its tables can be read ahead, by way of
// a checked copy in memory where not. Knows nothing of Ironic; what has to happen on the disk right before the first byte
// is the caller's.

import { alignedBuffer } from "../system/aligned-buffer.ts";
import type { FileSource } from "../system/files.ts";
import type { System } from "../system/system.ts";
import { type FormatPolicy, type ImageFormat, imageReader, inspectImage, qemuDriver } from "./format.ts";
import { qcow2 } from "./formats/qcow2.ts";
import { HttpFault } from "./http-get.ts";
import { download, type ImageBody } from "./http-source.ts";
import { cacheImage } from "./image-cache.ts";
import { writeTo } from "./open-target.ts";
import { ProbedImage, ProbeLimitError } from "./probed-image.ts";
import { ProgressMeter } from "./progress-meter.ts";
import { type ClusterMap, readClusterMap } from "./qcow2/cluster-map.ts";
import { writeQcow2 } from "./qcow2/write-qcow2.ts";
import { compareWithDevice, convertStart, convertToDevice } from "./qemu-img.ts";
import { HEAD_BYTES, unbootableOnFailure, wipeAfterFailure } from "./stream-to-device.ts";
import { newHasher, requireDigest, requireFit, type TransferOptions } from "./transfer-options.ts";
import { writeBody } from "./write-body.ts";
import { WrittenRecord } from "./written-record.ts";

/**
 * Writes a raw image to the target while it is downloaded.
 * @throws the errors of download(), streamToDevice() and the target; then nothing on the device boots
 */
export async function streamImage(system: System, options: TransferOptions): Promise<void> {
  await download(system, options.plan, options.signal, async (body) => {
    system.log.info(`streaming image ${options.plan.imageId} from ${body.source}`);
    await writeBody(system, { ...body, unverified: true }, options);
  });
}

/**
 * Writes a qcow2 to the target while it is downloaded, if the server gives parts of it ahead and its tables are no larger than
 * what may be kept of them; so too an image that turns out to be the disk's own bytes; anything else as cacheAndWriteImage does. Either way what it is was checked before the first byte is written.
 * @throws as cacheAndWriteImage
 */
export async function placeOrCacheImage(system: System, options: TransferOptions): Promise<void> {
  const { plan, signal } = options;
  await using directory = await system.files.temporaryDirectory("ironic-agent-image-");
  const path = `${directory.path}/image`;
  const placed = await download(system, plan, signal, async (body) => {
    const ahead = await lookAhead(system, body, options);
    if (ahead === null) await cache(system, body, path, options);
    else if (ahead.map !== null) await place(system, body, ahead.image, ahead.map, options);
    else {
      system.log.info(`streaming image ${plan.imageId} (${ahead.format.name}) from ${body.source}`);
      const chunks = ahead.image.compared(body.chunks);
      await writeBody(system, { chunks, length: body.length, unverified: true }, options);
    }
    return ahead !== null;
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

type LookAhead = {
  readonly image: ProbedImage;
  readonly format: ImageFormat;
  /** Of a qcow2; null if the bytes are the disk's. */
  readonly map: ClusterMap | null;
};

/** Null if the image is none that can be written as it comes. @throws InvalidImage, HttpFault, the target's error for its size */
async function lookAhead(
  system: System,
  { source, length, readRange }: ImageBody,
  options: TransferOptions,
): Promise<LookAhead | null> {
  const { format: policy, plan, signal } = options;
  if (length === null || readRange === null || policy.expected === "raw" || policy.expected === "gpt")
    return null;
  const image = new ProbedImage(length, readRange);
  try {
    const format = await inspectImage(image, policy);
    requireFit(options, format.virtualSize);
    if (qemuDriver(format) === null) return options.streamRaw ? { image, format, map: null } : null;
    if (format.name !== "qcow2") return null;
    // Without enforcement the inspection lets pass what this reader cannot read.
    if ((await qcow2.inspect(imageReader(image)))?.problem !== null) return null;
    return { image, format, map: await readClusterMap(image, signal) };
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

async function place(
  system: System,
  body: ImageBody,
  image: ProbedImage,
  map: ClusterMap,
  options: TransferOptions,
): Promise<void> {
  const { plan, report, signal } = options;
  system.log.info(
    `streaming image ${plan.imageId} (qcow2, ${map.header.virtualSize} bytes in ${map.count} pieces) from ${body.source}`,
  );
  const device = await options.target.prepare();
  const chunks = image.compared(body.chunks);
  await writeTo(system, device, options, async (target, beforeHead) => {
    await writeQcow2(target, chunks, map, {
      beforeHead,
      hasher: newHasher(system, options),
      verify: (digest) => requireDigest(options, device, digest),
      meter: new ProgressMeter(system.clock, report, "write", body.length),
      zeroMeter: (total) => new ProgressMeter(system.clock, report, "zero", total),
      log: system.log,
      signal,
    });
  });
}

/** Checks what a copy in memory is, and writes its content. */
async function writeCachedImage(system: System, path: string, options: TransferOptions): Promise<void> {
  const { plan } = options;
  const format = await inspectFile(system, path, options.format);
  requireFit(options, format.virtualSize);
  system.log.info(`writing image ${plan.imageId} (${format.name}, ${format.virtualSize} bytes)`);
  const driver = qemuDriver(format);
  if (driver !== null) await convert(system, path, driver, format, options);
  else {
    await using file = await system.files.open(path);
    await writeBody(system, { chunks: chunksOf(file), length: file.size, unverified: false }, options);
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

/** By qemu-img, in its own order; but what the device boots from comes last here, too. */
async function convert(
  system: System,
  path: string,
  driver: string,
  format: ImageFormat,
  options: TransferOptions,
): Promise<void> {
  const device = await options.target.prepare();
  const size = format.virtualSize;
  const limits = { format: driver, ...options.conversion, signal: options.signal, offset: HEAD_BYTES, size };
  const metered = (phase: string) => {
    const meter = new ProgressMeter(system.clock, options.report, phase, size);
    return { onPercent: (percent: number) => meter.update(Math.floor((percent / 100) * size)) };
  };
  const converting = metered("convert");
  const start = `${path}-start`;
  try {
    if (size > HEAD_BYTES) await convertToDevice(system, path, device, { ...limits, ...converting });
    const startBytes = Math.min(size, HEAD_BYTES);
    await convertStart(system, path, start, {
      ...{ ...limits, device, size: startBytes, onPercent: () => undefined },
    });
    if (options.verifyWritten && size > HEAD_BYTES)
      await compareWithDevice(system, path, device, { ...limits, ...metered("verify") });
    await writeStart(system, start, device, options);
  } catch (error) {
    await wipeAfterFailure(system, device);
    throw error;
  }
}

/** Writes a file, which is the device's start, everything else being on the medium. */
async function writeStart(system: System, path: string, device: string, options: TransferOptions) {
  await using file = await system.files.open(path);
  const head = alignedBuffer(file.size);
  await file.read(head, 0);
  await using target = await system.blockDevices.open(device, "write-exclusive");
  await unbootableOnFailure(target, system.log, async () => {
    const record = new WrittenRecord();
    const bytes = (await options.target.beforeHead?.(target, head)) ?? head;
    await record.watch(target).write(bytes, 0);
    await target.flush();
    if (options.verifyWritten) await record.compare(system, device, () => undefined, options.signal);
  });
}

async function inspectFile(system: System, path: string, policy: FormatPolicy): Promise<ImageFormat> {
  await using file = await system.files.open(path);
  return await inspectImage(file, policy);
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
