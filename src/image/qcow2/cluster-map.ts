// Where the clusters of a qcow2 lie in its file and belong on the disk, from the L1 and L2 tables. Everything in the tables
// is checked against the file's length before it is believed, and what a map takes is bounded.
// Source: qemu docs/interop/qcow2.txt; qemu 7.2 refuses or accepts the same, except where said.

import { InvalidImage } from "../../errors.ts";
import type { ImageFile } from "../format.ts";
import { ProbeLimitError } from "../probed-image.ts";

/** What the header says; it has passed the inspector's checks, so sizes and features are within bounds. */
export type Qcow2Header = {
  readonly version: number;
  readonly clusterSize: number;
  readonly virtualSize: number;
  readonly l1Entries: number;
  readonly l1Offset: number;
  readonly compression: "zlib" | "zstd";
};

/** One piece: bytes of the file that are bytes of the disk, or that unpack to one cluster of it. */
export type Extent = {
  /** Byte offset in the file, and bytes there. */
  readonly host: number;
  readonly length: number;
  /** Byte offset on the disk. */
  readonly guest: number;
  readonly packed: boolean;
};

/** Beyond this (128 GiB of compressed clusters of 64 KiB) the map would take more memory than it saves. */
const MAX_EXTENTS = 2 * 1024 * 1024;
/** Runs of plain clusters are joined up to this, so that whoever holds one extent in memory knows how much that is. */
const MAX_RUN = 1024 * 1024;
/** qemu's own limit. */
const MAX_L1_BYTES = 32 * 1024 * 1024;
const HIGH = 2 ** 32;
/** Bits of the upper half of a table entry. */
const COMPRESSED = 0x40000000;
const OFFSET_HIGH = 0x00ffffff;
/** Bit 0 of an L2 entry, from version 3 on: reads as zeros, whatever is allocated. */
const ZERO = 1;

export async function readHeader(file: ImageFile): Promise<Qcow2Header> {
  const bytes = new Uint8Array(112);
  const view = new DataView(bytes.buffer, 0, await file.read(bytes, 0));
  const version = view.getUint32(4);
  const hasType = version === 3 && view.getUint32(100) > 104 && (view.getUint32(76) & 0b1000) !== 0;
  return {
    version,
    clusterSize: 2 ** view.getUint32(20),
    virtualSize: Number(view.getBigUint64(24)),
    l1Entries: view.getUint32(36),
    l1Offset: Number(view.getBigUint64(40)),
    compression: hasType && view.getUint8(104) === 1 ? "zstd" : "zlib",
  };
}

/** Extents by their order on the disk, in which they do not overlap. */
export class ClusterMap {
  readonly header: Qcow2Header;
  #count = 0;
  #host = new Float64Array(1024);
  #guest = new Float64Array(1024);
  /** Bytes in the file; negative for a compressed cluster. */
  #length = new Int32Array(1024);

  constructor(header: Qcow2Header) {
    this.header = header;
  }

  get count(): number {
    return this.#count;
  }

  extent(index: number): Extent {
    const length = this.#length[index] ?? 0;
    return {
      host: this.#host[index] ?? 0,
      guest: this.#guest[index] ?? 0,
      length: Math.abs(length),
      packed: length < 0,
    };
  }

  /** Bytes that an extent covers on the disk. */
  guestLength({ guest, length, packed }: Extent): number {
    return packed ? Math.min(this.header.clusterSize, this.header.virtualSize - guest) : length;
  }

  /** Indexes by place in the file. */
  inFileOrder(): Uint32Array {
    const order = Uint32Array.from({ length: this.#count }, (_, index) => index);
    const host = this.#host;
    return order.sort((left, right) => (host[left] ?? 0) - (host[right] ?? 0));
  }

  /** Ranges of the disk, up to `end`, that read as zeros. */
  *gaps(end: number): Generator<{ offset: number; length: number }> {
    let at = 0;
    for (let index = 0; index < this.#count; index++) {
      const extent = this.extent(index);
      if (extent.guest > at) yield { offset: at, length: extent.guest - at };
      at = extent.guest + this.guestLength(extent);
    }
    if (end > at) yield { offset: at, length: end - at };
  }

  /** To be called in the order of the disk. */
  add({ host, guest, length, packed }: Extent): void {
    const last = this.#count - 1;
    const lastLength = this.#length[last] ?? 0;
    const joins =
      !packed &&
      lastLength > 0 &&
      lastLength + length <= MAX_RUN &&
      (this.#host[last] ?? 0) + lastLength === host &&
      (this.#guest[last] ?? 0) + lastLength === guest;
    if (joins) {
      this.#length[last] = lastLength + length;
      return;
    }
    if (this.#count === MAX_EXTENTS) throw new ProbeLimitError(`more than ${MAX_EXTENTS} pieces`);
    if (this.#count === this.#host.length) this.#grow();
    this.#host[this.#count] = host;
    this.#guest[this.#count] = guest;
    this.#length[this.#count] = packed ? -length : length;
    this.#count++;
  }

  #grow(): void {
    const size = this.#host.length * 2;
    const grown = <T extends Float64Array | Int32Array>(to: T, from: T) => {
      to.set(from);
      return to;
    };
    this.#host = grown(new Float64Array(size), this.#host);
    this.#guest = grown(new Float64Array(size), this.#guest);
    this.#length = grown(new Int32Array(size), this.#length);
  }
}

/**
 * Follows the tables of a file whose header was inspected.
 * @throws InvalidImage for tables that cannot be right; ProbeLimitError if there is too much to follow
 */
export async function readClusterMap(file: ImageFile, signal: AbortSignal): Promise<ClusterMap> {
  const header = await readHeader(file);
  const { clusterSize, virtualSize } = header;
  const perTable = clusterSize / 8;
  const tables = Math.ceil(virtualSize / clusterSize / perTable);
  if (tables > header.l1Entries) throw broken("its L1 table is too small for its virtual size");
  if (tables * 8 > MAX_L1_BYTES) throw broken("its L1 table is too large");
  const l1 = await readTable(file, header.l1Offset, tables * 8, "L1 table");
  const map = new ClusterMap(header);
  for (let index = 0; index < tables; index++) {
    signal.throwIfAborted();
    const offset = plainOffset(l1.getUint32(index * 8), l1.getUint32(index * 8 + 4));
    if (offset === 0) continue;
    if (offset % clusterSize !== 0) throw broken(`L2 table ${index} is not at the start of a cluster`);
    const l2 = await readTable(file, offset, clusterSize, `L2 table ${index}`);
    const first = index * perTable;
    const clusters = Math.min(perTable, Math.ceil(virtualSize / clusterSize) - first);
    for (let entry = 0; entry < clusters; entry++) {
      const extent = readEntry(l2, entry * 8, first + entry, header, file.size);
      if (extent !== null) map.add(extent);
    }
  }
  return map;
}

/** Null for a cluster that reads as zeros. */
function readEntry(
  l2: DataView,
  at: number,
  cluster: number,
  { version, clusterSize, virtualSize }: Qcow2Header,
  fileSize: number,
): Extent | null {
  const [high, low] = [l2.getUint32(at), l2.getUint32(at + 4)];
  const guest = cluster * clusterSize;
  if ((high & COMPRESSED) !== 0) {
    // Offset in bytes in the lower bits, sectors beyond the first in the ones above; how many bits depends on the cluster size.
    const sectorShift = 62 - (Math.log2(clusterSize) - 8) - 32;
    const host = (high & (2 ** sectorShift - 1)) * HIGH + low;
    const sectors = ((high & 0x3fffffff) >>> sectorShift) + 1;
    if (host >= fileSize) throw broken(`cluster ${cluster} lies beyond the end of the file`);
    const end = host - (host % 512) + sectors * 512;
    return { host, guest, length: Math.min(end, fileSize) - host, packed: true };
  }
  if ((low & ZERO) !== 0) {
    if (version < 3) throw broken(`cluster ${cluster} is marked as zeros, which version 2 does not have`);
    return null;
  }
  const host = plainOffset(high, low);
  if (host === 0) return null;
  if (host % clusterSize !== 0) throw broken(`cluster ${cluster} is not at the start of a cluster`);
  // qemu would read zeros there; but it is what a truncated upload looks like.
  if (host >= fileSize) throw broken(`cluster ${cluster} lies beyond the end of the file`);
  const length = Math.min(clusterSize, virtualSize - guest, fileSize - host);
  return { host, guest, length, packed: false };
}

function plainOffset(high: number, low: number): number {
  return (high & OFFSET_HIGH) * HIGH + low - (low % 512);
}

async function readTable(file: ImageFile, offset: number, length: number, name: string): Promise<DataView> {
  if (offset + length > file.size) throw broken(`${name} lies beyond the end of the file`);
  const bytes = new Uint8Array(length);
  await file.read(bytes, offset);
  return new DataView(bytes.buffer);
}

function broken(problem: string): InvalidImage {
  return new InvalidImage(`The qcow2 image is broken: ${problem}. Make it again, or upload it again.`);
}
