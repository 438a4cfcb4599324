// Zeros on a device, at the least cost: by its own means where it has them and they were seen to work, else written. Whether they
// work is tried out on the device itself, on bytes that are to become zeros anyway: promises about discarded
// blocks have been broken by too many drives.

import type { BlockDevice } from "../system/block-device.ts";
import type { Logger } from "../system/log.ts";

/** Below this, a command of its own costs the device more than the zeros. */
const WORTHWHILE = 1024 * 1024;
const BUFFER_BYTES = 1024 * 1024;
/** Bytes that the trial fills with something else before it has them zeroed. */
const TRIAL_BYTES = 64 * 1024;

export class ZeroFill {
  readonly #device: BlockDevice;
  readonly #log: Logger;
  readonly #zeros = Buffer.alloc(BUFFER_BYTES);
  /** Null until tried. */
  #offload: boolean | null = null;

  constructor(device: BlockDevice, log: Logger) {
    this.#device = device;
    this.#log = log;
  }

  /** @throws BlockDeviceIoError */
  async fill(offset: number, length: number, signal: AbortSignal): Promise<void> {
    const { sectorSize } = this.#device;
    const start = Math.ceil(offset / sectorSize) * sectorSize;
    const end = Math.floor((offset + length) / sectorSize) * sectorSize;
    if (end - start < WORTHWHILE || !(await this.#zero(start, end - start))) {
      await this.#write(offset, offset + length, signal);
      return;
    }
    await this.#write(offset, start, signal);
    await this.#write(end, offset + length, signal);
  }

  /** Starts of runs of zeros count too, so this looks at all of a buffer. */
  isZero(bytes: Uint8Array): boolean {
    return bytes.length <= BUFFER_BYTES && this.#zeros.compare(bytes, 0, bytes.length, 0, bytes.length) === 0;
  }

  async #zero(offset: number, length: number): Promise<boolean> {
    const device = this.#device;
    if (device.zero === undefined) return false;
    this.#offload ??= await this.#trial(offset);
    if (this.#offload && !(await device.zero(offset, length))) {
      this.#log.warning(`${device.path} stopped zeroing ranges by itself; zeros are written from here on`);
      this.#offload = false;
    }
    return this.#offload;
  }

  async #trial(offset: number): Promise<boolean> {
    const device = this.#device;
    await device.write(Buffer.alloc(TRIAL_BYTES, 0xa5), offset);
    // Else the kernel might answer for the device, from what it has not written yet.
    await device.flush();
    if (!(await device.zero?.(offset, TRIAL_BYTES))) return false;
    const seen = Buffer.alloc(TRIAL_BYTES, 0xff);
    await device.read(seen, offset);
    if (this.isZero(seen)) return true;
    this.#log.warning(
      `${device.path} says that it zeroed a range, but it did not; zeros are written instead`,
    );
    return false;
  }

  async #write(offset: number, end: number, signal: AbortSignal): Promise<void> {
    for (let at = offset; at < end; at += BUFFER_BYTES) {
      signal.throwIfAborted();
      await this.#device.write(this.#zeros.subarray(0, Math.min(BUFFER_BYTES, end - at)), at);
    }
  }
}
