// Writes an image whose bytes are the disk's bytes, as they come or unpacked on the way. The checksum is always that of what was
// downloaded; what a packed image becomes is bounded by the disk alone.

import { InvalidImage } from "../errors.ts";
import type { System } from "../system/system.ts";
import { inspectImage, qemuDriver } from "./format.ts";
import type { ImageHasher } from "./hasher.ts";
import { writeTo } from "./open-target.ts";
import { peekChunks } from "./peeked-chunks.ts";
import { ProgressMeter } from "./progress-meter.ts";
import { streamToDevice } from "./stream-to-device.ts";
import { newHasher, requireDigest, requireFit, type TransferOptions } from "./transfer-options.ts";
import { COMPRESSION_PROBE, type Compression, compressionOf, unpack } from "./unpack/compression.ts";
import { UnpackError } from "./unpack/unpack-error.ts";

/** What is looked at of the content of a packed image: every format's header is in it. */
const CONTENT_PROBE = 1024 * 1024;

export type DiskBytes = {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Bytes to come, if known. */
  readonly length: number | null;
  /** False if the checksum was found right before. */
  readonly unverified: boolean;
};

/** @throws the errors of streamToDevice() and the target, ImageChecksumError, InvalidImage; then nothing on the device boots */
export async function writeBody(system: System, body: DiskBytes, options: TransferOptions): Promise<void> {
  const hasher = body.unverified ? newHasher(system, options) : null;
  if (!options.unpack) return await writePlain(system, body, options, hasher);
  const { start, chunks } = await peekChunks(body.chunks, COMPRESSION_PROBE);
  const compression = compressionOf(start);
  if (compression === null) await writePlain(system, { ...body, chunks }, options, hasher);
  else await writeUnpacked(system, compression, { ...body, chunks }, options, hasher);
}

async function writePlain(
  system: System,
  { chunks, length }: DiskBytes,
  options: TransferOptions,
  hasher: ImageHasher | null,
): Promise<void> {
  requireFit(options, length);
  const device = await options.target.prepare();
  await writeTo(system, device, options, async (target, beforeHead) => {
    await streamToDevice(target, chunks, {
      beforeHead,
      hasher,
      verify: (digest) => {
        if (digest !== null) requireDigest(options, device, digest);
      },
      length,
      meter: new ProgressMeter(system.clock, options.report, "write", length),
      log: system.log,
      signal: options.signal,
    });
  });
}

async function writeUnpacked(
  system: System,
  compression: Compression,
  body: DiskBytes,
  options: TransferOptions,
  hasher: ImageHasher | null,
): Promise<void> {
  const { plan, log, signal, report } = { ...options, log: system.log };
  log.info(`image ${plan.imageId} is packed (${compression}) and is unpacked on the way`);
  const meter = new ProgressMeter(system.clock, report, "write", body.length);
  let device = plan.imageId;
  const verify = () => {
    if (hasher !== null) requireDigest(options, device, hasher.digest());
  };
  const { chunks, start } = await peekChunks(
    unpack(compression, observed(body.chunks, hasher, meter)),
    CONTENT_PROBE,
  ).catch((error: unknown) => {
    throw packedFault(error, compression, verify);
  });
  try {
    await requireDiskInside(start, compression, options);
    device = await options.target.prepare();
    await writeTo(system, device, options, async (target, beforeHead) => {
      const unhashed = { hasher: null, length: null, meter: null };
      await streamToDevice(target, chunks, { ...unhashed, verify, beforeHead, log, signal });
    });
  } catch (error) {
    throw packedFault(error, compression, verify);
  } finally {
    await chunks.return();
  }
}

/** The chunks as they are, hashed and counted. */
async function* observed(
  chunks: AsyncIterable<Uint8Array>,
  hasher: ImageHasher | null,
  meter: ProgressMeter,
): AsyncGenerator<Uint8Array, void, void> {
  let received = 0;
  for await (const chunk of chunks) {
    hasher?.update(chunk);
    received += chunk.length;
    meter.update(received);
    yield chunk;
  }
}

/** What is packed must be the disk itself: another format in it would be written as it is, and never boot. @throws InvalidImage */
async function requireDiskInside(
  start: Uint8Array,
  compression: Compression,
  { format: policy }: TransferOptions,
): Promise<void> {
  const format = await inspectImage(
    {
      // Only its start is there; what is judged by a file's end is not found here, and is harmless.
      size: start.length < CONTENT_PROBE ? start.length : Number.MAX_SAFE_INTEGER,
      read: async (buffer, offset) => {
        const part = start.subarray(Math.min(offset, start.length), offset + buffer.length);
        buffer.set(part);
        return part.length;
      },
    },
    policy,
  );
  if (qemuDriver(format) !== null)
    throw new InvalidImage(
      `The image is a ${format.name} packed with ${compression}, and only raw images are unpacked: ` +
        `register it unpacked (${format.name === "qcow2" ? "qcow2 has compression of its own" : "or as qcow2"}).`,
    );
}

/** Data that does not unpack was damaged on the way, which the checksum tells and another attempt may mend, or before. */
function packedFault(error: unknown, compression: Compression, verify: () => void): unknown {
  if (!(error instanceof UnpackError)) return error;
  try {
    verify();
  } catch (wrongDigest) {
    return wrongDigest;
  }
  return new InvalidImage(
    `The image does not unpack (${compression}): ${error.message}. The checksum fits, so the file was broken before it ` +
      "was registered: pack it again.",
    { cause: error },
  );
}
