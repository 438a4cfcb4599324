// The sink for images whose bytes do not come in the disk's order: pieces are put where they belong, neighbours joined to large
// writes, of which one is under way while the next is filled. As in the other sink, the first mebibyte waits in memory.

import type { BlockDevice } from "../system/block-device.ts";

const BUFFER_BYTES = 1024 * 1024;

export class PlacedWriter {
  /** What the device's start is to hold, zeros where nothing was put. */
  readonly head = Buffer.alloc(BUFFER_BYTES);
  readonly #device: BlockDevice;
  readonly #ring = [Buffer.alloc(BUFFER_BYTES), Buffer.alloc(BUFFER_BYTES)] as const;
  #current: Buffer = this.#ring[0];
  #filled = 0;
  #offset = 0;
  #writing: Promise<void> = Promise.resolve();

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
      this.#current.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === BUFFER_BYTES) await this.#start();
    }
  }

  /** Returns when everything put so far is with the kernel. */
  async finish(): Promise<void> {
    if (this.#filled > 0) await this.#start();
    await this.#writing;
  }

  /** Waits for a write under way, whatever becomes of it: what follows must not race with it. */
  async settle(): Promise<void> {
    await this.#writing.catch(() => undefined);
  }

  async #start(): Promise<void> {
    await this.#writing;
    this.#writing = this.#device.write(this.#current.subarray(0, this.#filled), this.#offset);
    // Its error is met where it is awaited; until then it must not count as unhandled.
    this.#writing.catch(() => undefined);
    this.#current = this.#current === this.#ring[0] ? this.#ring[1] : this.#ring[0];
    this.#filled = 0;
  }
}
