// Raw access to a disk, a partition or (in tests) a regular file: sizes, positioned reads and writes, flush.
// Devices are opened exclusively for writing, so the kernel itself refuses one that is mounted or in use. Large, aligned transfers pass
// by the page cache (O_DIRECT): that spares a copy and the memory, and tells a write error at once.

import { constants } from "node:fs";
import fs from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { ALIGNMENT, alignedBuffer, isAligned } from "./aligned-buffer.ts";
import { errnoName, readFully, splitDeviceNumber, writeFully } from "./files.ts";
import { zeroRange } from "./zero-range.ts";

export interface BlockDevices {
  /** @throws BlockDeviceIoError (EBUSY when something holds it, ENOENT, …) */
  open(path: string, mode: OpenMode): Promise<BlockDevice>;
}

/**
 * "read-uncached" reads what the medium holds, not what the kernel remembers of it: all that was written must have been flushed, and
 * offsets must be multiples of 4096. Files that have no such thing (on tmpfs) are read as usual.
 * "write" is for bytes that nobody else can be using, on a disk of which other parts may be in use.
 */
export type OpenMode = "read" | "read-uncached" | "write" | "write-exclusive";

export interface BlockDevice extends AsyncDisposable {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Logical sector size in bytes; 512 for a regular file. */
  readonly sectorSize: number;
  /** Fills `buffer` from `offset`; fewer bytes only at the end. */
  read(buffer: Uint8Array, offset: number): Promise<number>;
  /**
   * Writes all of `bytes`. Offset and length are any; the kernel does read-modify-write for partial sectors. Cheapest in multiples of
   * 4096 at such offsets, from an alignedBuffer().
   */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /**
   * Has the device zero a range (whole sectors) without sending zeros; absent where nothing of the kind exists.
   * @returns false if it does not do so: then the range may hold anything
   */
  zero?(offset: number, length: number): Promise<boolean>;
  /** fdatasync: returns after the device has the data, and reports write errors that came late. */
  flush(): Promise<void>;
}

/** A read, write or flush failed; `code` is the errno name. */
export class BlockDeviceIoError extends Error {
  readonly code: string;
  readonly path: string;

  constructor(action: string, path: string, code: string) {
    super(`${action} ${path}: ${code}`);
    this.code = code;
    this.path = path;
  }
}

/** Of one call to zero a range: a slow disk that does it by itself still needs well below a second. */
const ZERO_BYTES = 32 * 1024 * 1024;
/** Who holds a device longer than this has it in use. */
const BUSY_MS = 2000;
const BUSY_PAUSE_MS = 20;

/** The block devices of the machine the agent runs on. */
export const realBlockDevices: BlockDevices = {
  async open(path, mode) {
    return named("opening", path, async () => {
      // O_EXCL without O_CREAT is the kernel's "nobody else may hold this block device"; regular files ignore it.
      const exclusive = mode === "write-exclusive" ? constants.O_EXCL : 0;
      const handle = await openPatiently(path, access(mode) | exclusive);
      try {
        return new OpenBlockDevice(path, handle, mode, ...(await geometry(handle)));
      } catch (error) {
        await handle.close();
        throw error;
      }
    });
  },
};

/**
 * A program that is being started has a copy of all our open files until it becomes that program (between fork and exec), so that a
 * device we have closed may still be held for a moment, by us; udev's helpers hold new devices as briefly.
 */
async function openPatiently(path: string, flags: number): Promise<fs.FileHandle> {
  for (let waited = 0; ; waited += BUSY_PAUSE_MS) {
    try {
      return await fs.open(path, flags);
    } catch (error) {
      if (errnoName(error) !== "EBUSY" || waited >= BUSY_MS) throw error;
      await sleep(BUSY_PAUSE_MS);
    }
  }
}

class OpenBlockDevice implements BlockDevice {
  /** A second descriptor, without the page cache, under the exclusive one; null where the file system has no such thing. */
  #direct: Promise<fs.FileHandle | null> | undefined;

  constructor(
    readonly path: string,
    readonly handle: fs.FileHandle,
    readonly mode: OpenMode,
    readonly size: number,
    readonly sectorSize: number,
  ) {}

  read(buffer: Uint8Array, offset: number): Promise<number> {
    return named("reading", this.path, async () => {
      const uncached = this.mode === "read-uncached" && this.sectorSize <= ALIGNMENT;
      const direct = uncached ? await this.#openDirect() : null;
      const wanted = Math.min(buffer.length, this.size - offset);
      if (direct === null || wanted <= 0) return readFully(this.handle, buffer, offset);
      // A device whose size is no multiple of the alignment ends in the middle of the last transfer.
      const whole = Math.ceil(wanted / ALIGNMENT) * ALIGNMENT;
      const fits = whole === buffer.length && isAligned(buffer, offset);
      const place = fits ? buffer : alignedBuffer(whole);
      const read = Math.min(wanted, await readFully(direct, place, offset));
      if (!fits) buffer.set(place.subarray(0, read));
      return read;
    });
  }

  write(bytes: Uint8Array, offset: number): Promise<void> {
    return named("writing", this.path, async () => {
      // Sectors larger than a page, which a few disks have, are more than the alignment promises.
      const fits = isAligned(bytes, offset) && this.sectorSize <= ALIGNMENT;
      const direct = fits ? await this.#openDirect() : null;
      await writeFully(direct ?? this.handle, bytes, offset);
    });
  }

  async zero(offset: number, length: number): Promise<boolean> {
    for (let at = offset; at < offset + length; at += ZERO_BYTES) {
      if (!zeroRange(this.handle.fd, at, Math.min(ZERO_BYTES, offset + length - at))) return false;
      // The call blocks; whatever else is going on gets its turn in between.
      await new Promise((resolve) => setImmediate(resolve));
    }
    return true;
  }

  flush(): Promise<void> {
    return named("flushing", this.path, () => this.handle.datasync());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await (await this.#direct)?.close();
    } finally {
      await this.handle.close();
    }
  }

  #openDirect(): Promise<fs.FileHandle | null> {
    this.#direct ??= fs.open(this.path, access(this.mode) | constants.O_DIRECT).catch((error: unknown) => {
      if (errnoName(error) === "EINVAL") return null;
      throw error;
    });
    return this.#direct;
  }
}

function access(mode: OpenMode): number {
  return mode === "read" || mode === "read-uncached" ? constants.O_RDONLY : constants.O_RDWR;
}

/** Size and logical sector size in bytes; sysfs knows both for a device, a regular file has its length. */
async function geometry(handle: fs.FileHandle): Promise<[size: number, sectorSize: number]> {
  const stat = await handle.stat();
  if (!stat.isBlockDevice()) return [stat.size, 512];
  const { major, minor } = splitDeviceNumber(stat.rdev);
  const directory = await fs.realpath(`/sys/dev/block/${major}:${minor}`);
  const attribute = async (name: string) =>
    Number((await fs.readFile(`${directory}/${name}`, "utf8")).trim());
  // sysfs counts in units of 512 bytes whatever the sector size; a partition's queue is its disk's.
  const size = (await attribute("size")) * 512;
  const sectorSize = await attribute("queue/logical_block_size").catch(() =>
    attribute("../queue/logical_block_size"),
  );
  return [size, sectorSize];
}

async function named<T>(action: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new BlockDeviceIoError(action, path, errnoName(error));
  }
}
