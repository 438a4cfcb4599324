// Zeros on a device without sending them: WRITE ZEROES, WRITE SAME or UNMAP, whatever the device promises to read back as zeros.
// The kernel offers it as fallocate(2), which the runtime has no function for; without FALLOC_FL_KEEP_SIZE block devices refuse.

import { openLibC } from "./libc.ts";

const KEEP_SIZE = 1;
/** Of a block device: only if the device does it itself; the kernel does not fall back to writing. */
const PUNCH_HOLE = 2;

/**
 * Blocks until done, so ranges should be some megabytes. Offset and length in bytes, both whole sectors.
 * @returns false if the device (or the file system of a regular file) cannot
 */
export function zeroRange(fd: number, offset: number, length: number): boolean {
  using libc = openLibC();
  return libc.fallocate(fd, KEEP_SIZE | PUNCH_HOLE, offset, length) === 0;
}
