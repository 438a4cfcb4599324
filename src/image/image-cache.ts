// The copy of an image in the ramdisk's memory that formats other than raw need. Memory is what runs out first on the machine:
// it is asked before the download and again on the way, because on a ramfs nothing else would stop a too large
// image before the kernel kills the agent. Source: deploy specification 1.6, 2.8.

import { ImageDownloadOutOfSpaceError } from "../errors.ts";
import { FileError } from "../system/files.ts";
import type { System } from "../system/system.ts";
import type { ImageHasher } from "./hasher.ts";
import type { ImageBody } from "./http-source.ts";
import type { ProgressMeter } from "./progress-meter.ts";

/** Bytes that must stay free for the agent, its tools and the kernel. */
const RESERVE = 128 * 1024 * 1024;
/** How often the room is looked at on the way. */
const CHECK_EVERY = 64 * 1024 * 1024;
const BUFFER_BYTES = 1024 * 1024;

export type CacheOptions = {
  readonly imageId: string;
  readonly hasher: ImageHasher;
  /** Called with the digest of the whole image; throws to refuse it. */
  readonly verify: (digest: string) => void;
  readonly meter: ProgressMeter;
  readonly signal: AbortSignal;
};

/**
 * Fills the file at `path`; the directory it is in must be private.
 * @throws ImageDownloadOutOfSpaceError, and what the body or `verify` throws
 */
export async function cacheImage(
  system: System,
  body: Omit<ImageBody, "readRange">,
  path: string,
  options: CacheOptions,
): Promise<void> {
  await requireRoom(system, path, body.length ?? 0, options.imageId);
  await using file = await system.files.create(path);
  const buffer = Buffer.alloc(BUFFER_BYTES);
  let filled = 0;
  let written = 0;
  const flush = async () => {
    const bytes = buffer.subarray(0, filled);
    options.hasher.update(bytes);
    await file.write(bytes, written).catch((error: unknown) => {
      if (!(error instanceof FileError && error.code === "ENOSPC")) throw error;
      throw new ImageDownloadOutOfSpaceError(
        options.imageId,
        `no room left in ${path} after ${written} bytes; give the machine more memory, or stream a raw image`,
      );
    });
    if (Math.floor(written / CHECK_EVERY) !== Math.floor((written + filled) / CHECK_EVERY))
      await requireRoom(system, path, Math.max(0, (body.length ?? 0) - written - filled), options.imageId);
    written += filled;
    filled = 0;
    options.meter.update(written);
  };
  for await (const chunk of body.chunks) {
    options.signal.throwIfAborted();
    let taken = 0;
    while (taken < chunk.length) {
      const part = chunk.subarray(taken, taken + BUFFER_BYTES - filled);
      buffer.set(part, filled);
      filled += part.length;
      taken += part.length;
      if (filled === BUFFER_BYTES) await flush();
    }
  }
  if (filled > 0) await flush();
  options.verify(options.hasher.digest());
}

/** Bytes still to come must fit into the file system and, with the reserve, into memory if that is where it is. */
async function requireRoom(system: System, path: string, needed: number, imageId: string): Promise<void> {
  const directory = path.slice(0, path.lastIndexOf("/"));
  const [free, memory] = await Promise.all([system.files.freeSpace(directory), availableMemory(system)]);
  // A ramfs (what an initramfs may be) has no size, and reports no free space.
  if (free > 0 && needed > free)
    throw new ImageDownloadOutOfSpaceError(
      imageId,
      `${needed} bytes are to be stored in ${directory}, which has ${free} free`,
    );
  if (memory !== null && needed > memory - RESERVE)
    throw new ImageDownloadOutOfSpaceError(
      imageId,
      `${needed} bytes are to be stored, and ${memory} bytes of memory are available, of which ${RESERVE} must stay ` +
        "free; give the machine more memory, or stream a raw image",
    );
}

/** Bytes the kernel could hand out; null if /proc/meminfo does not say. */
async function availableMemory(system: System): Promise<number | null> {
  const match = /^MemAvailable:\s+(\d+) kB$/m.exec(await system.files.readText("/proc/meminfo"));
  return match === null ? null : Number(match[1]) * 1024;
}
