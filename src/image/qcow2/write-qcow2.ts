// A qcow2 in one pass: the file goes by once, in its own order, is hashed whole, and each cluster is put in its place on the disk
// as it passes. Everything the image leaves out becomes zeros, because the disk was only wiped at its ends. The first
// mebibyte is written last, after the checksum.

import { InvalidImage } from "../../errors.ts";
import type { BlockDevice } from "../../system/block-device.ts";
import type { Logger } from "../../system/log.ts";
import type { ImageHasher } from "../hasher.ts";
import { PlacedWriter } from "../placed-writer.ts";
import type { ProgressMeter } from "../progress-meter.ts";
import { type BeforeHead, imageTooLarge, unbootableOnFailure } from "../stream-to-device.ts";
import { ZeroFill } from "../zero-fill.ts";
import type { ClusterMap, Extent } from "./cluster-map.ts";
import { PackedClusterError, unpackCluster } from "./unpack-cluster.ts";

/** Clusters being unpacked at a time, on the runtime's threads. */
const PARALLEL = 8;
/** Bytes of the file that are looked at together with the longest extent. */
const STEP = 1024 * 1024;
/** Between two looks at the signal while zeros are filled in. */
const ZERO_STEP = 256 * 1024 * 1024;

export type WriteQcow2Options = {
  readonly hasher: ImageHasher;
  /** Called with the digest of the whole file before the disk becomes bootable; throws to refuse it. */
  readonly verify: (digest: string) => void;
  readonly beforeHead?: BeforeHead;
  /** Of the file's bytes. */
  readonly meter: ProgressMeter;
  /** Begins the report on bytes of zeros, of which there are `total`. */
  readonly zeroMeter: (total: number) => ProgressMeter;
  readonly log: Logger;
  readonly signal: AbortSignal;
};

/**
 * Writes the whole virtual disk.
 * @param chunks the file from its start, compared with what the map was made of
 * @throws ImageWriteError for the device's faults; InvalidImage for clusters that do not unpack; what `chunks` and `verify`
 * throw passes through. After any of them the first and the last mebibyte of the device are zero.
 */
export async function writeQcow2(
  device: BlockDevice,
  chunks: AsyncIterable<Uint8Array>,
  map: ClusterMap,
  options: WriteQcow2Options,
): Promise<void> {
  const { virtualSize } = map.header;
  if (virtualSize > device.size) throw imageTooLarge(device, `has ${virtualSize} bytes`);
  await unbootableOnFailure(device, options.log, () => new Qcow2Pass(device, map, options).run(chunks));
}

class Qcow2Pass {
  readonly #device: BlockDevice;
  readonly #map: ClusterMap;
  readonly #options: WriteQcow2Options;
  readonly #writer: PlacedWriter;
  readonly #order: Uint32Array;
  #next = 0;
  /** Bytes of the file from `#start` on: those that extents not yet complete begin with. */
  readonly #window: Buffer;
  #start = 0;
  #filled = 0;
  readonly #unpacking: { readonly extent: Extent; readonly bytes: Promise<Uint8Array> }[] = [];
  /** The first cluster that did not unpack: a broken image or a broken transfer, which the checksum will tell. */
  #broken: InvalidImage | null = null;

  constructor(device: BlockDevice, map: ClusterMap, options: WriteQcow2Options) {
    this.#device = device;
    this.#map = map;
    this.#options = options;
    this.#writer = new PlacedWriter(device);
    this.#order = map.inFileOrder();
    this.#window = Buffer.alloc(Math.max(2 * map.header.clusterSize, STEP) + STEP);
  }

  async run(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const { signal, hasher, verify, beforeHead, meter } = this.#options;
    const { head } = this.#writer;
    try {
      let received = 0;
      for await (const chunk of chunks) {
        signal.throwIfAborted();
        hasher.update(chunk);
        received += chunk.length;
        await this.#take(chunk);
        meter.update(received);
      }
      signal.throwIfAborted();
      while (this.#unpacking.length > 0) await this.#putUnpacked();
      await this.#writer.finish();
      verify(hasher.digest());
      if (this.#broken !== null) throw this.#broken;
      await this.#fillGaps();
      // Everything else must be on the medium before the disk becomes bootable.
      await this.#device.flush();
      const start = head.subarray(0, Math.min(this.#end(), head.length));
      await this.#device.write((await beforeHead?.(start)) ?? start, 0);
      await this.#device.flush();
    } finally {
      await this.#writer.settle();
    }
  }

  async #take(chunk: Uint8Array): Promise<void> {
    for (let taken = 0; taken < chunk.length; ) {
      if (this.#filled === 0) {
        const next = this.#order[this.#next];
        if (next === undefined) return;
        // Nobody needs what lies before the next extent.
        const skipped = Math.min(chunk.length - taken, this.#map.extent(next).host - this.#start);
        this.#start += skipped;
        taken += skipped;
      }
      const part = chunk.subarray(taken, taken + this.#window.length - this.#filled);
      this.#window.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      await this.#placeComplete();
    }
  }

  /** Extents may overlap, so bytes are let go when no later one begins with them. */
  async #placeComplete(): Promise<void> {
    let needed = this.#start + this.#filled;
    for (; this.#next < this.#order.length; this.#next++) {
      const extent = this.#map.extent(this.#order[this.#next] ?? 0);
      const from = extent.host - this.#start;
      if (from + extent.length > this.#filled) {
        needed = Math.min(needed, extent.host);
        break;
      }
      await this.#place(extent, this.#window.subarray(from, from + extent.length));
    }
    this.#window.copyWithin(0, needed - this.#start, this.#filled);
    this.#filled -= needed - this.#start;
    this.#start = needed;
  }

  async #place(extent: Extent, bytes: Uint8Array): Promise<void> {
    if (!extent.packed) {
      await this.#writer.put(bytes, extent.guest);
      return;
    }
    // The window moves on while the other thread reads.
    const unpacked = unpackCluster(Buffer.from(bytes), this.#map.header);
    unpacked.catch(() => undefined); // met when its turn comes
    this.#unpacking.push({ extent, bytes: unpacked });
    if (this.#unpacking.length >= PARALLEL) await this.#putUnpacked();
  }

  async #putUnpacked(): Promise<void> {
    const first = this.#unpacking.shift();
    if (first === undefined) return;
    const { extent, bytes } = first;
    try {
      const unpacked = await bytes;
      await this.#writer.put(unpacked.subarray(0, this.#map.guestLength(extent)), extent.guest);
    } catch (error) {
      if (!(error instanceof PackedClusterError)) throw error;
      this.#broken ??= new InvalidImage(
        `The compressed cluster at byte ${extent.host} of the image does not unpack: ${error.message}. ` +
          "The checksum fits, so the image was broken before it was registered.",
        { cause: error },
      );
    }
  }

  /** Bytes of the disk that the image takes: its virtual size, in whole sectors. */
  #end(): number {
    const { sectorSize, size } = this.#device;
    return Math.min(size, Math.ceil(this.#map.header.virtualSize / sectorSize) * sectorSize);
  }

  async #fillGaps(): Promise<void> {
    const { signal, log, zeroMeter } = this.#options;
    // The head's gaps are zeros in memory already.
    const headEnd = this.#writer.head.length;
    let total = 0;
    for (const { offset, length } of this.#map.gaps(this.#end()))
      total += Math.max(0, offset + length - Math.max(offset, headEnd));
    if (total === 0) return;
    const meter = zeroMeter(total);
    const zeros = new ZeroFill(this.#device, log);
    let done = 0;
    for (const { offset, length } of this.#map.gaps(this.#end())) {
      const end = offset + length;
      for (let at = Math.max(offset, headEnd); at < end; at += ZERO_STEP) {
        signal.throwIfAborted();
        const part = Math.min(ZERO_STEP, end - at);
        await zeros.fill(at, part, signal);
        done += part;
        meter.update(done);
      }
    }
  }
}
