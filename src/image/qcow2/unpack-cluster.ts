// One compressed cluster of a qcow2. Its stream is followed by whatever fills its last sector, and nothing in it is to be trusted: what
// it unpacks to is bounded by the cluster size. Source: qemu docs/interop/qcow2.txt; RFC 1951; RFC 8878.

import { inflateRaw, zstdDecompress } from "node:zlib";
import type { Qcow2Header } from "./cluster-map.ts";

/** qemu deflates with a window of 4 KiB; a reader may have the largest. */
const WINDOW_BITS = 15;
const ZSTD_MAGIC = 0xfd2fb528;
/** A cluster has 2 MiB at most, so no honest frame needs more. */
const MAX_ZSTD_WINDOW = 8 * 1024 * 1024;

/** A cluster that is not what it should be; the message says why. */
export class PackedClusterError extends Error {}

/** Exactly a cluster of bytes. Works beside the caller, on another thread. @throws PackedClusterError */
export async function unpackCluster(
  packed: Uint8Array,
  { compression, clusterSize }: Pick<Qcow2Header, "compression" | "clusterSize">,
): Promise<Uint8Array> {
  try {
    const bytes = await (compression === "zlib" ? inflate : unzstd)(packed, clusterSize);
    if (bytes.length !== clusterSize) throw new PackedClusterError(`it has ${bytes.length} bytes`);
    return bytes;
  } catch (error) {
    if (error instanceof PackedClusterError) throw error;
    throw new PackedClusterError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function inflate(packed: Uint8Array, limit: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    inflateRaw(
      packed,
      { windowBits: WINDOW_BITS, maxOutputLength: limit, chunkSize: limit },
      (error, bytes) => (error === null ? resolve(bytes) : reject(error)),
    );
  });
}

/** Frames until the cluster is full: the decoder would take what follows them for another one. */
async function unzstd(packed: Uint8Array, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for (let rest = packed; size < limit; ) {
    const length = zstdFrameLength(rest);
    const part = await unzstdFrame(rest.subarray(0, length), limit - size);
    rest = rest.subarray(length);
    if (part.length === 0) throw new PackedClusterError("it has an empty frame");
    size += part.length;
    parts.push(part);
  }
  const [only, another] = parts;
  return only !== undefined && another === undefined ? only : Buffer.concat(parts);
}

function unzstdFrame(frame: Uint8Array, limit: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    zstdDecompress(frame, { maxOutputLength: limit }, (error, bytes) =>
      error === null ? resolve(bytes) : reject(error),
    );
  });
}

/** Bytes of the Zstandard frame at the start of `bytes`. @throws PackedClusterError if there is none */
export function zstdFrameLength(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const byteAt = (offset: number) => {
    if (offset >= view.byteLength) throw new PackedClusterError("its frame ends too early");
    return view.getUint8(offset);
  };
  if (view.byteLength < 5 || view.getUint32(0, true) !== ZSTD_MAGIC)
    throw new PackedClusterError("it does not begin with a Zstandard frame");
  const descriptor = byteAt(4);
  const singleSegment = (descriptor & 0x20) !== 0;
  if (!singleSegment && zstdWindow(byteAt(5)) > MAX_ZSTD_WINDOW)
    throw new PackedClusterError("its frame asks for a window larger than any cluster");
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSize = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  let at = 5 + (singleSegment ? 0 : 1) + dictionary + contentSize;
  for (let last = false; !last; ) {
    const block = byteAt(at) | (byteAt(at + 1) << 8) | (byteAt(at + 2) << 16);
    last = (block & 1) !== 0;
    // A run-length block has one byte, however many it stands for.
    at += 3 + (((block >> 1) & 3) === 1 ? 1 : block >> 3);
  }
  if ((descriptor & 4) !== 0) at += 4;
  if (at > bytes.length) throw new PackedClusterError("its frame ends too early");
  return at;
}

function zstdWindow(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}
