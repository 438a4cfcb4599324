// Memory that a disk can be written from without the page cache in between (O_DIRECT): it must begin where a page begins.

import { ptr } from "bun:ffi";

/** What every disk is content with, whatever its sector size. */
export const ALIGNMENT = 4096;

/** Zeroed. */
export function alignedBuffer(length: number): Buffer {
  const room = Buffer.alloc(length + ALIGNMENT);
  const past = ptr(room) % ALIGNMENT;
  return room.subarray(past === 0 ? 0 : ALIGNMENT - past).subarray(0, length);
}

/** True if a transfer of exactly these bytes can pass by the page cache. */
export function isAligned(bytes: Uint8Array, offset: number): boolean {
  return (
    offset % ALIGNMENT === 0 &&
    bytes.length % ALIGNMENT === 0 &&
    bytes.length > 0 &&
    ptr(bytes) % ALIGNMENT === 0
  );
}
