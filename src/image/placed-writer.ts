// The sink for images whose bytes do not come in the disk's order: pieces are put where they belong, neighbours joined to large
// writes, some of which are under way while the next is filled. As in the other sink, the first mebibyte waits in memory.

import { alignedBuffer } from "../system/aligned-buffer.ts";
import type { BlockDevice } from "../system/block-device.ts";

const BUFFER_BYTES = 1024 * 1024;
/** One being filled, the others on their way to the device. */
const BUFFERS = 4;

export class PlacedWriter {
  /** What the device's start is to hold, zeros where nothing was put. */
  readonly head = alignedBuffer(BUFFER_BYTES);
  readonly #device: BlockDevice;
  readonly #ring = Array.from({ length: BUFFERS }, () => alignedBuffer(BUFFER_BYTES));
  /** The last write out of each of them. */
  readonly #writing: Promise<void>[] = this.#ring.map(() => Promise.resolve());
  #slot = 0;
  #filled = 0;
  #offset = 0;

  constructor(device: BlockDevice) {
    this.#device = device;
  }

  /** Bytes are taken before this returns. @throws BlockDeviceIoError, also of a write before */
  async put(bytes: Uint8Array, offset: number): Promise<void> {
    const inHead = Math.max(0, Math.min(bytes.length, BUFFER_BYTES - offset));
    if (inHead > 0) this.head.set(bytes.subarray(0, inHead), offset);
    for (let taken = inHead; taken < bytes.length; ) {
      const at = offset + taken;
      if (this.#filled > 0 && at !== this.#offset + this.#filled) await this.#start();
      if (this.#filled === 0) this.#offset = at;
      const part = bytes.subarray(taken, taken + BUFFER_BYTES - this.#filled);
      this.#ring[this.#slot]?.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === BUFFER_BYTES) await this.#start();
    }
  }

  /** Returns when everything put so far is with the kernel. */
  async finish(): Promise<void> {
    if (this.#filled > 0) await this.#start();
    await Promise.all(this.#writing);
  }

  /** Waits for the writes under way, whatever becomes of them: what follows must not race with them. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#writing);
  }

  async #start(): Promise<void> {
    const buffer = this.#ring[this.#slot];
    if (buffer === undefined) return;
    const writing = this.#device.write(buffer.subarray(0, this.#filled), this.#offset);
    // Its error is met where it is awaited; until then it must not count as unhandled.
    writing.catch(() => undefined);
    this.#writing[this.#slot] = writing;
    this.#slot = (this.#slot + 1) % BUFFERS;
    this.#filled = 0;
    await this.#writing[this.#slot];
  }
}
