// What every way of bringing an image onto a device is given, and the checks all of them make.

import { ImageChecksumError } from "../errors.ts";
import type { ReportProgress } from "../progress.ts";
import type { BlockDevice } from "../system/block-device.ts";
import type { System } from "../system/system.ts";
import type { Checksum } from "./checksum.ts";
import type { FormatPolicy } from "./format.ts";
import { type HashEngine, ImageHasher } from "./hasher.ts";
import type { DownloadPlan } from "./http-source.ts";

/** Where an image goes: a device that may only come to be once it is sure that the image fits. */
export type ImageTarget = {
  /** Bytes it can hold. */
  readonly capacity: number;
  /** The error for an image of `bytes`, which are more than that. */
  readonly tooLarge: (bytes: number) => Error;
  /** Called right before the first byte is written, and again for each new attempt; resolves to the device's node. */
  readonly prepare: () => Promise<string>;
  /** See BeforeHead; `device` is open for writing. */
  readonly beforeHead?: (device: BlockDevice, head: Uint8Array) => Promise<Uint8Array>;
};

export type TransferOptions = {
  readonly target: ImageTarget;
  readonly plan: DownloadPlan;
  readonly checksum: Checksum;
  readonly hashEngine: HashEngine;
  readonly format: FormatPolicy;
  /** Images whose bytes are the disk's may be written as they come, also where only the bytes tell so. */
  readonly streamRaw: boolean;
  /** Unpack raw images that come compressed. */
  readonly unpack: boolean;
  /** Read back everything that was written. */
  readonly verifyWritten: boolean;
  /** qemu-img's address space limit in MiB, and its runs if memory is short. */
  readonly conversion: { readonly memoryLimit: number; readonly attempts: number };
  readonly report: ReportProgress;
  readonly signal: AbortSignal;
};

/** @throws the target's error; null is a length nobody knows */
export function requireFit({ target }: TransferOptions, length: number | null): void {
  if (length !== null && length > target.capacity) throw target.tooLarge(length);
}

export function newHasher(system: System, { checksum, hashEngine }: TransferOptions): ImageHasher {
  return new ImageHasher({ algorithm: checksum.algorithm, engine: hashEngine, log: system.log });
}

/** @throws ImageChecksumError */
export function requireDigest({ plan, checksum }: TransferOptions, location: string, digest: string): void {
  if (digest !== checksum.expected)
    throw new ImageChecksumError(plan.imageId, location, checksum.expected, digest);
}
