// Remembers what was written to a device, and reads it all back from the medium afterwards: by digests, because nothing as large as an
// image is kept, and piece by piece as it was written, because not every image comes in the disk's order. What an image
// leaves out was written as zeros, so the whole of it is compared.

import { createHash } from "node:crypto";
import { ImageWriteError } from "../errors.ts";
import { alignedBuffer } from "../system/aligned-buffer.ts";
import type { BlockDevice } from "../system/block-device.ts";
import type { System } from "../system/system.ts";

/** Of a read; writes are not larger. */
const PIECE = 1024 * 1024;
/** What a reader without the page cache is content with. */
const ALIGNMENT = 4096;

export class WrittenRecord {
  #count = 0;
  #offset = new Float64Array(1024);
  /** Bytes; negative for zeros. */
  #length = new Float64Array(1024);
  #digest = new BigUint64Array(1024);

  /** `device` as it is, but noted down. */
  watch(device: BlockDevice): BlockDevice {
    const { path, size, sectorSize } = device;
    const zero = device.zero?.bind(device);
    return {
      path,
      size,
      sectorSize,
      read: (buffer, offset) => device.read(buffer, offset),
      write: (bytes, offset) => {
        // Before the write: the buffer is its owner's again right after it.
        this.#add(offset, bytes.length, digestOf(bytes));
        return device.write(bytes, offset);
      },
      ...(zero === undefined
        ? {}
        : {
            zero: async (offset: number, length: number) => {
              const done = await zero(offset, length);
              if (done) this.#add(offset, -length, 0n);
              return done;
            },
          }),
      flush: () => device.flush(),
      [Symbol.asyncDispose]: () => device[Symbol.asyncDispose](),
    };
  }

  /** Bytes that will be read. */
  get bytes(): number {
    return this.#latest().reduce((sum, index) => sum + Math.abs(this.#length[index] ?? 0), 0);
  }

  /**
   * Compares everything; the device must have been flushed. `onBytes` is told how far it is.
   * @throws ImageWriteError saying how much differs and where it begins; BlockDeviceIoError
   */
  async compare(
    system: System,
    path: string,
    onBytes: (done: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    await using device = await system.blockDevices.open(path, "read-uncached");
    const buffer = alignedBuffer(PIECE + 2 * ALIGNMENT);
    const zeros = Buffer.alloc(PIECE);
    const wrong = { bytes: 0, first: 0 };
    let done = 0;
    for (const index of this.#latest()) {
      const [start, length] = [this.#offset[index] ?? 0, this.#length[index] ?? 0];
      const end = start + Math.abs(length);
      for (let at = start; at < end; at += PIECE) {
        signal.throwIfAborted();
        const bytes = await readPiece(device, buffer, at, Math.min(PIECE, end - at));
        const same =
          length < 0
            ? zeros.subarray(0, bytes.length).equals(bytes)
            : digestOf(bytes) === this.#digest[index];
        if (!same && wrong.bytes === 0) wrong.first = at;
        if (!same) wrong.bytes += bytes.length;
        done += bytes.length;
        onBytes(done);
      }
    }
    if (wrong.bytes > 0)
      throw new ImageWriteError(
        `What is on ${path} is not what was written: pieces of ${wrong.bytes} bytes in all differ, the first at byte ` +
          `${wrong.first}. The disk, its controller or the memory damages data without an error; test or replace them.`,
      );
  }

  /** Forgets what was written so far. */
  clear(): void {
    this.#count = 0;
  }

  /** In the disk's order; of what was written to the same place several times, the last. */
  #latest(): number[] {
    const order = Array.from({ length: this.#count }, (_, index) => index);
    order.sort((left, right) => (this.#offset[left] ?? 0) - (this.#offset[right] ?? 0) || left - right);
    return order.filter((index, at) => this.#offset[order[at + 1] ?? -1] !== this.#offset[index]);
  }

  #add(offset: number, length: number, digest: bigint): void {
    if (this.#count === this.#offset.length) this.#grow();
    this.#offset[this.#count] = offset;
    this.#length[this.#count] = length;
    this.#digest[this.#count] = digest;
    this.#count++;
  }

  #grow(): void {
    const size = this.#count * 2;
    const [offset, length, digest] = [
      new Float64Array(size),
      new Float64Array(size),
      new BigUint64Array(size),
    ];
    offset.set(this.#offset);
    length.set(this.#length);
    digest.set(this.#digest);
    [this.#offset, this.#length, this.#digest] = [offset, length, digest];
  }
}

/** 64 bits: against accidents, of which one in 10^19 would pass. */
function digestOf(bytes: Uint8Array): bigint {
  return createHash("sha256").update(bytes).digest().readBigUInt64BE(0);
}

async function readPiece(
  device: BlockDevice,
  buffer: Buffer,
  offset: number,
  length: number,
): Promise<Buffer> {
  const before = offset % ALIGNMENT;
  const whole = Math.ceil((before + length) / ALIGNMENT) * ALIGNMENT;
  const read = await device.read(buffer.subarray(0, whole), offset - before);
  return buffer.subarray(before, Math.min(read, before + length));
}
