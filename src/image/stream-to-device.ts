// The sink: bytes go to a device in order, through a few reused buffers, so that receiving, hashing and writing overlap and
// memory does not depend on the image's size. The first mebibyte, without which nothing boots, is written last, after the
// checksum was found right and everything else is on the disk: at no time is half an image bootable.

import { ImageWriteError } from "../errors.ts";
import { alignedBuffer } from "../system/aligned-buffer.ts";
import { type BlockDevice, BlockDeviceIoError } from "../system/block-device.ts";
import type { Logger } from "../system/log.ts";
import type { System } from "../system/system.ts";
import type { ImageHasher } from "./hasher.ts";
import type { ProgressMeter } from "./progress-meter.ts";
import { ZeroFill } from "./zero-fill.ts";

/** Bytes of a write. */
const BUFFER_BYTES = 1024 * 1024;
/** How much is held back until the last: it covers boot code, partition table and GRUB's core image. */
export const HEAD_BYTES = BUFFER_BYTES;
/** One being filled, the others on their way to the device, which is not to wait for us in between. */
const BUFFERS = 4;
/** Of zeros in a row that are left to the device in one go; between two such, the signal is looked at. */
const ZERO_BYTES = 256 * 1024 * 1024;

/**
 * Called with the first mebibyte (less of a smaller image), whole sectors, when everything else is on the medium; what it resolves to is
 * written in its place, and is as long.
 */
export type BeforeHead = (head: Uint8Array) => Promise<Uint8Array>;

export type StreamOptions = {
  /** Fed with every byte; null when the bytes were verified before. */
  readonly hasher: ImageHasher | null;
  /** Called with the digest (null without hasher) before the image is made bootable; throws to refuse it. */
  readonly verify: (digest: string | null) => void;
  readonly beforeHead?: BeforeHead;
  /** Bytes to come, if known: an image that cannot fit is refused before the first byte. */
  readonly length: number | null;
  /** Of the bytes written; null if somebody else reports. */
  readonly meter: ProgressMeter | null;
  readonly log: Logger;
  readonly signal: AbortSignal;
};

/**
 * Writes all of `chunks` from offset 0; the rest of a last, partial sector becomes zeros.
 * @returns the image's length in bytes
 * @throws ImageWriteError for the device's faults and an image that does not fit; what `chunks` or `verify` throws passes
 * through. After any of them the first and the last mebibyte of the device are zero.
 */
export async function streamToDevice(
  device: BlockDevice,
  chunks: AsyncIterable<Uint8Array>,
  options: StreamOptions,
): Promise<number> {
  const { length } = options;
  if (length !== null && length > device.size) throw imageTooLarge(device, `has ${length} bytes`);
  return unbootableOnFailure(device, options.log, () => new DeviceStream(device, options).run(chunks));
}

/**
 * Runs `write`, and wipes both ends of the device if it fails.
 * @throws what `write` throws, ImageWriteError for the device's faults
 */
export async function unbootableOnFailure<T>(
  device: BlockDevice,
  log: Logger,
  write: () => Promise<T>,
): Promise<T> {
  try {
    return await write();
  } catch (error) {
    await wipeEnds(device).catch((fault: unknown) => {
      log.error(`cannot wipe the start and the end of ${device.path} after a failed write`, fault);
    });
    if (error instanceof BlockDeviceIoError) throw deviceFault(device, error);
    throw error;
  }
}

/** The error for an image that is larger than the device; `extent` says what is known of its size. */
export function imageTooLarge(device: Pick<BlockDevice, "path" | "size">, extent: string): ImageWriteError {
  return new ImageWriteError(
    `The image ${extent}, and does not fit on device ${device.path}, which has ${device.size}. ` +
      "Use a smaller image, or root device hints that choose a larger disk.",
  );
}

/** Zeros the first and the last mebibyte, where everything lies by which firmware or a kernel would take the disk for usable. */
export async function wipeEnds(device: BlockDevice): Promise<void> {
  const length = Math.min(BUFFER_BYTES, device.size);
  const zeros = new Uint8Array(length);
  await device.write(zeros, 0);
  await device.write(zeros, device.size - length);
  await device.flush();
}

/** Makes a disk that holds half a deployment unbootable. Never fails: it follows a failure that must not be hidden. */
export async function wipeAfterFailure(
  system: Pick<System, "blockDevices" | "log">,
  disk: string,
): Promise<void> {
  try {
    // Not exclusively: udev may have activated a volume group or an array of the image's.
    await using device = await system.blockDevices.open(disk, "write");
    await wipeEnds(device);
  } catch (error) {
    system.log.error(`cannot wipe the start and the end of ${disk} after a failed deploy`, error);
  }
}

class DeviceStream {
  readonly #device: BlockDevice;
  readonly #options: StreamOptions;
  readonly #head = alignedBuffer(BUFFER_BYTES);
  readonly #ring = Array.from({ length: BUFFERS }, () => alignedBuffer(BUFFER_BYTES));
  /** The last write out of each of the ring's buffers. */
  readonly #writing: Promise<void>[] = this.#ring.map(() => Promise.resolve());
  readonly #zeros: ZeroFill;
  /** Zeros that came last and are not on the device yet. */
  #gap = { offset: 0, length: 0 };
  #zeroing: Promise<void> = Promise.resolve();
  /** The buffer being filled: first the head, then the ring's in turn. */
  #current: Buffer = this.#head;
  #slot: number | null = null;
  #filled = 0;
  /** Offset on the device of the current buffer's start. */
  #offset = 0;

  constructor(device: BlockDevice, options: StreamOptions) {
    this.#device = device;
    this.#options = options;
    this.#zeros = new ZeroFill(device, options.log);
  }

  async run(chunks: AsyncIterable<Uint8Array>): Promise<number> {
    const { signal, hasher, verify, beforeHead, meter } = this.#options;
    try {
      for await (const chunk of chunks) {
        signal.throwIfAborted();
        await this.#take(chunk);
      }
      signal.throwIfAborted();
      const length = this.#offset + this.#filled;
      if (this.#filled > 0) await this.#flushBuffer();
      await this.#fillGap();
      await Promise.all([...this.#writing, this.#zeroing]);
      verify(hasher?.digest() ?? null);
      // Everything else must be on the medium before the disk becomes bootable.
      await this.#device.flush();
      const head = this.#padded(this.#head, Math.min(length, BUFFER_BYTES));
      await this.#device.write((await beforeHead?.(head)) ?? head, 0);
      await this.#device.flush();
      meter?.update(length);
      return length;
    } finally {
      // A failure elsewhere must not leave a write racing with the wiping; its own error is the lesser one then.
      await Promise.allSettled([...this.#writing, this.#zeroing]);
    }
  }

  async #take(chunk: Uint8Array): Promise<void> {
    // Piece by piece as they come, while the connection brings the next and the device takes the last: hashing whole
    // buffers would let the connection run dry, which keeps no more than a few pieces in store.
    this.#options.hasher?.update(chunk);
    let taken = 0;
    while (taken < chunk.length) {
      const part = chunk.subarray(taken, taken + BUFFER_BYTES - this.#filled);
      this.#current.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === BUFFER_BYTES) await this.#flushBuffer();
    }
  }

  /** Starts writing the current buffer and makes the next one current. */
  async #flushBuffer(): Promise<void> {
    const [slot, offset] = [this.#slot, this.#offset];
    const end = offset + this.#filled;
    if (end > this.#device.size)
      throw imageTooLarge(this.#device, `has more than ${this.#device.size} bytes`);
    const padded = this.#padded(this.#current, this.#filled);
    if (slot === null) await this.#use(0);
    else if (this.#zeros.isZero(padded)) await this.#addZeros(offset, padded.length);
    else {
      await this.#fillGap();
      this.#writing[slot] = noted(this.#device.write(padded, offset));
      await this.#use((slot + 1) % BUFFERS);
    }
    this.#options.meter?.update(offset);
    this.#offset = end;
    this.#filled = 0;
  }

  /** Makes a buffer of the ring current, once the device has taken what is in it. */
  async #use(slot: number): Promise<void> {
    await this.#writing[slot];
    this.#slot = slot;
    this.#current = this.#ring[slot] ?? this.#head;
  }

  async #addZeros(offset: number, length: number): Promise<void> {
    if (this.#gap.length === 0) this.#gap.offset = offset;
    this.#gap.length += length;
    if (this.#gap.length >= ZERO_BYTES) await this.#fillGap();
  }

  async #fillGap(): Promise<void> {
    const { offset, length } = this.#gap;
    if (length === 0) return;
    this.#gap = { offset: 0, length: 0 };
    await this.#zeroing;
    this.#zeroing = noted(this.#zeros.fill(offset, length, this.#options.signal));
  }

  /** The first `length` bytes, with zeros up to a whole sector. */
  #padded(buffer: Buffer, length: number): Uint8Array {
    const { sectorSize } = this.#device;
    const whole = Math.ceil(length / sectorSize) * sectorSize;
    buffer.fill(0, length, whole);
    return buffer.subarray(0, whole);
  }
}

/** Its error is met where it is awaited; until then it must not count as unhandled. */
function noted(work: Promise<void>): Promise<void> {
  work.catch(() => undefined);
  return work;
}

function deviceFault(device: BlockDevice, error: BlockDeviceIoError): ImageWriteError {
  return new ImageWriteError(`Writing image to device ${device.path} failed: ${error.message}.`, {
    cause: error,
  });
}
