// Checks an erase with the disk itself instead of with the word of who erased it: what some places held is remembered before and
// compared afterwards, read past the page cache. The places are the two ends, where the tables are, and random ones
// all over what is between them, which no firmware can foresee.

import { BlockDeviceError, errorText } from "../errors.ts";
import type { BlockDevice } from "../system/block-device.ts";
import { BlockDeviceIoError } from "../system/block-device.ts";
import type { System } from "../system/system.ts";

const PLACES = 64;
/** A disk that is going takes minutes for each place it cannot read: after this many, those read so far must do. */
const MOST_UNREADABLE = 4;
/** Bytes; of the larger sector size, so that a place is always whole sectors. */
const PLACE_SIZE = 4096;

export type Sample = {
  readonly offset: number;
  /** Null where nothing tells erased from not erased: blank before, or unreadable. */
  readonly before: Uint8Array | null;
};

/** What was found after an erase. Counts are places of PLACE_SIZE bytes. */
export type ReadBack = {
  readonly places: number;
  /** All bytes are 0, or all are 255. */
  readonly blank: number;
  /** Held something before, and hold something else now. */
  readonly changed: number;
  /** Hold, byte for byte, what they held before. */
  readonly unchanged: number;
  readonly unreadable: number;
};

/** Nothing is written. @throws BlockDeviceIoError if the device cannot be opened */
export async function takeSamples(system: System, device: string): Promise<Sample[]> {
  await using disk = await system.blockDevices.open(device, "read");
  const samples: Sample[] = [];
  let unreadable = 0;
  for (const offset of placesOf(disk.size, system)) {
    const bytes = await readPlace(disk, offset);
    if (bytes === null) unreadable += 1;
    if (unreadable > MOST_UNREADABLE) break;
    samples.push({ offset, before: bytes === null || isUniform(bytes) ? null : bytes });
  }
  return samples;
}

/**
 * Reads the same places again.
 * @throws BlockDeviceError if the page cache could not be passed by; BlockDeviceIoError if the device cannot be opened
 */
export async function compareSamples(
  system: System,
  device: string,
  samples: readonly Sample[],
  signal: AbortSignal,
): Promise<ReadBack> {
  await dropCache(system, device, signal);
  await using disk = await system.blockDevices.open(device, "read");
  const found = { places: samples.length, blank: 0, changed: 0, unchanged: 0, unreadable: 0 };
  for (const { offset, before } of samples) {
    const now = await readPlace(disk, offset);
    if (now === null) found.unreadable += 1;
    else if (isUniform(now) && (now[0] === 0 || now[0] === 255)) found.blank += 1;
    else if (before !== null) found[equal(before, now) ? "unchanged" : "changed"] += 1;
  }
  return found;
}

/** Firmware erases behind the kernel's back, which would go on showing what it remembers. */
async function dropCache(system: System, device: string, signal: AbortSignal): Promise<void> {
  try {
    await system.run(["blockdev", "--flushbufs", device], { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new BlockDeviceError(`the page cache of ${device} cannot be dropped: ${errorText(error)}`, {
      cause: error,
    });
  }
}

/** The ends, and one at random in each of equal parts of what is between them. */
function placesOf(size: number, { clock }: System): number[] {
  const last = Math.max(0, Math.floor(size / PLACE_SIZE) - 1);
  const places = new Set([0, last]);
  const parts = PLACES - 2;
  const startOf = (part: number) => 1 + Math.floor((part * (last - 1)) / parts);
  for (let part = 0; part < parts; part += 1) {
    const [low, high] = [startOf(part), startOf(part + 1)];
    if (high > low) places.add(Math.floor(clock.uniform(low, high)));
  }
  return [...places].sort((left, right) => left - right).map((place) => place * PLACE_SIZE);
}

/** Null: a bad sector, or nothing there. */
async function readPlace(disk: BlockDevice, offset: number): Promise<Uint8Array | null> {
  const buffer = new Uint8Array(Math.min(PLACE_SIZE, disk.size - offset));
  try {
    const length = await disk.read(buffer, offset);
    return length === buffer.length && length > 0 ? buffer : null;
  } catch (error) {
    if (error instanceof BlockDeviceIoError) return null;
    throw error;
  }
}

function isUniform(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === bytes[0]);
}

function equal(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
