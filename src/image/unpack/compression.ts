// Compressed raw images: which packing, told by the first bytes and never by a name, and the way back. What is unpacked passes by in
// pieces; nothing here holds more than the decoder's window.

import { unpackXz } from "./xz.ts";
import { unpackGzip, unpackZstd } from "./zlib-stream.ts";

export type Compression = "gzip" | "zstd" | "xz";

/** Bytes that must be seen to tell. */
export const COMPRESSION_PROBE = 512;

const MAGIC: readonly (readonly [Compression, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b, 0x08]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];

const UNPACK = { gzip: unpackGzip, zstd: unpackZstd, xz: unpackXz } as const;

/**
 * Null for bytes that are the disk's own. The boot signature of a disk wins: its boot code may begin with anything.
 * @param start the first COMPRESSION_PROBE bytes, fewer only if there are no more
 */
export function compressionOf(start: Uint8Array): Compression | null {
  if (start[510] === 0x55 && start[511] === 0xaa) return null;
  return MAGIC.find(([, magic]) => magic.every((byte, index) => start[index] === byte))?.[0] ?? null;
}

/**
 * What `chunks` unpack to. Each chunk may be reused by its maker as soon as the next one is asked for.
 * @throws UnpackError for what is no whole, single file of that packing; by then all of `chunks` was read. Their errors pass through.
 */
export function unpack(
  compression: Compression,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  return UNPACK[compression](chunks);
}
