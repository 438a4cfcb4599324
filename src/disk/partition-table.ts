// Partition tables read natively at the device's own sector size. The tools' texts proved treacherous: parted's list loses
// partitions whose file system has a parenthesis, sgdisk invents GUIDs for MBR disks, and none says that a table was
// made for another sector size. Sources: UEFI specification, chapter 5; deploy specification 2.10, 8.1.

import { crc32 } from "node:zlib";
import type { BlockDevice } from "../system/block-device.ts";

export type DiskReader = Pick<BlockDevice, "size" | "sectorSize" | "read">;

export type Partition = {
  readonly number: number;
  /** Bytes from the start of the disk. */
  readonly start: number;
  /** Bytes. */
  readonly size: number;
  /** GPT: type GUID in lower case; MBR: two hex digits ("ef"). */
  readonly type: string;
  /** GPT only; "" otherwise. */
  readonly name: string;
  /** GPT: unique GUID in lower case; null on MBR. */
  readonly uuid: string | null;
  /** MBR boot flag. */
  readonly active: boolean;
};

export type PartitionTable = {
  readonly label: "gpt" | "msdos";
  /** MBR disk signature; usually 0 on GPT. */
  readonly signature: number;
  readonly partitions: readonly Partition[];
};

/** There is no table, or one that cannot be used; the message is the reason. */
export class PartitionTableError extends Error {
  /** Partitions it names all the same. */
  readonly partitions: number;

  constructor(message: string, partitions = 0) {
    super(message);
    this.partitions = partitions;
  }
}

export const EFI_SYSTEM_PARTITION_GUID = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
export const EFI_SYSTEM_PARTITION_MBR = "ef";

const SIGNATURE_AT = 440;
const ENTRIES_AT = 446;
const PROTECTIVE = 0xee;
const EXTENDED = new Set([0x05, 0x0f, 0x85]);
/** Logical partitions beyond this many are a loop in a damaged chain. */
const MAX_LOGICAL = 128;
/** GPT tables larger than this are damage, not use. */
const MAX_GPT_ENTRIES = 1024;
const MAX_GPT_ENTRY_BYTES = 1024;

/** @throws PartitionTableError, or what `disk.read` throws */
export async function readPartitionTable(disk: DiskReader): Promise<PartitionTable> {
  const sector = await readBytes(disk, 0, disk.sectorSize);
  if (sector.getUint16(510) !== 0x55aa)
    throw new PartitionTableError("the boot sector has no signature (55 AA): no partition table");
  const signature = sector.getUint32(SIGNATURE_AT, true);
  const entries = mbrEntries(sector);
  if (entries.some(({ type }) => type === PROTECTIVE)) {
    const partitions = await gptPartitions(disk, await readGptHeader(disk, 1));
    requireInside(disk, partitions);
    return { label: "gpt", signature, partitions };
  }
  if (sector.getUint8(0x10) === 2 && sector.getUint8(0x15) === 0xf8)
    throw new PartitionTableError("the disk starts with a FAT file system instead of a partition table");
  const partitions = await mbrPartitions(disk, entries);
  requireInside(disk, partitions);
  return { label: "msdos", signature, partitions };
}

/** @throws PartitionTableError: whoever trusts such a table writes over, or looks for, what is not there */
function requireInside(disk: DiskReader, partitions: readonly Partition[]): void {
  const beyond = partitions.find(({ start, size }) => size <= 0 || start + size > disk.size);
  if (beyond === undefined) return;
  if (beyond.size <= 0)
    throw new PartitionTableError(`partition ${beyond.number} ends before it begins`, partitions.length);
  throw new PartitionTableError(
    `partition ${beyond.number} ends beyond the end of the disk (at byte ${beyond.start + beyond.size} of ${disk.size}): ` +
      "the image was cut off or shrunk without its table, or the table was made for a disk with another sector size than " +
      `this one's ${disk.sectorSize} bytes`,
    partitions.length,
  );
}

/** The MBR disk signature as Ironic wants it for a whole disk's root UUID: `0x` and 8 lower-case digits. */
export function diskIdentifier(signature: number): string {
  return `0x${signature.toString(16).padStart(8, "0")}`;
}

/** Numbers 1–4 that an MBR uses, the extended partition included. */
export async function usedPrimaries(disk: DiskReader): Promise<number> {
  return mbrEntries(await readBytes(disk, 0, disk.sectorSize)).length;
}

// --- MBR ---

type MbrEntry = { index: number; type: number; active: boolean; start: number; sectors: number };

function mbrEntries(sector: DataView): MbrEntry[] {
  return [0, 1, 2, 3]
    .map((index) => {
      const at = ENTRIES_AT + 16 * index;
      return {
        index,
        type: sector.getUint8(at + 4),
        active: sector.getUint8(at) === 0x80,
        start: sector.getUint32(at + 8, true),
        sectors: sector.getUint32(at + 12, true),
      };
    })
    .filter(({ type, sectors }) => type !== 0 && sectors > 0);
}

async function mbrPartitions(disk: DiskReader, entries: readonly MbrEntry[]): Promise<Partition[]> {
  const partitions = entries.map((entry) => mbrPartition(disk, entry, entry.index + 1, 0));
  const extended = entries.find(({ type }) => EXTENDED.has(type));
  if (extended === undefined) return partitions;
  // Each link holds one logical partition relative to itself and the next link relative to the first.
  let link = extended.start;
  for (let number = 5; number < 5 + MAX_LOGICAL; number++) {
    const sector = await readBytes(disk, link * disk.sectorSize, disk.sectorSize);
    if (sector.getUint16(510) !== 0x55aa) break;
    const [logical, next] = [
      mbrEntries(sector).find(isData),
      mbrEntries(sector).find((entry) => !isData(entry)),
    ];
    if (logical !== undefined) partitions.push(mbrPartition(disk, logical, number, link));
    if (next === undefined) break;
    link = extended.start + next.start;
  }
  return partitions;
}

function isData({ type }: MbrEntry): boolean {
  return !EXTENDED.has(type);
}

function mbrPartition(disk: DiskReader, entry: MbrEntry, number: number, base: number): Partition {
  return {
    number,
    start: (base + entry.start) * disk.sectorSize,
    size: entry.sectors * disk.sectorSize,
    type: entry.type.toString(16).padStart(2, "0"),
    name: "",
    uuid: null,
    active: entry.active,
  };
}

// --- GPT ---

/** A GPT header whose checksum is right; LBAs in logical sectors. */
export type GptHeader = {
  /** The sector it is in, whole. */
  readonly sector: DataView;
  readonly headerBytes: number;
  readonly alternateLba: number;
  readonly lastUsableLba: number;
  readonly entriesLba: number;
  readonly entryCount: number;
  readonly entryBytes: number;
};

/** @throws PartitionTableError if the header at `lba` is absent or damaged */
export async function readGptHeader(disk: DiskReader, lba: number): Promise<GptHeader> {
  const sector = await readBytes(disk, lba * disk.sectorSize, disk.sectorSize);
  if (!hasGptSignature(sector)) throw new PartitionTableError(await missingGptReason(disk));
  const headerBytes = sector.getUint32(12, true);
  if (headerBytes < 92 || headerBytes > disk.sectorSize)
    throw new PartitionTableError(`the GPT header claims to have ${headerBytes} bytes`);
  if (headerChecksum(sector, headerBytes) !== sector.getUint32(16, true))
    throw new PartitionTableError("the checksum of the GPT header is wrong");
  const header = {
    sector,
    headerBytes,
    alternateLba: Number(sector.getBigUint64(32, true)),
    lastUsableLba: Number(sector.getBigUint64(48, true)),
    entriesLba: Number(sector.getBigUint64(72, true)),
    entryCount: sector.getUint32(80, true),
    entryBytes: sector.getUint32(84, true),
  };
  const { entryCount, entryBytes } = header;
  if (entryCount > MAX_GPT_ENTRIES || entryBytes < 128 || entryBytes > MAX_GPT_ENTRY_BYTES)
    throw new PartitionTableError(`the GPT claims ${entryCount} entries of ${entryBytes} bytes`);
  return header;
}

/** CRC-32 of a GPT header, whose own checksum field counts as zero. */
export function headerChecksum(sector: DataView, headerBytes: number): number {
  const bytes = new Uint8Array(sector.buffer, sector.byteOffset, headerBytes).slice();
  new DataView(bytes.buffer).setUint32(16, 0);
  return crc32(bytes);
}

/** The raw entries of a table. @throws PartitionTableError if their checksum is wrong */
export async function readGptEntries(disk: DiskReader, header: GptHeader): Promise<DataView> {
  const entries = await readBytes(
    disk,
    header.entriesLba * disk.sectorSize,
    header.entryCount * header.entryBytes,
  );
  if (crc32(bytesOf(entries)) !== header.sector.getUint32(88, true))
    throw new PartitionTableError("the checksum of the GPT entries is wrong");
  return entries;
}

async function gptPartitions(disk: DiskReader, header: GptHeader): Promise<Partition[]> {
  const entries = await readGptEntries(disk, header);
  const partitions: Partition[] = [];
  for (let index = 0; index < header.entryCount; index++) {
    const at = index * header.entryBytes;
    const type = guid(entries, at);
    if (/^[0-]+$/.test(type)) continue;
    const first = Number(entries.getBigUint64(at + 32, true));
    const last = Number(entries.getBigUint64(at + 40, true));
    partitions.push({
      number: index + 1,
      start: first * disk.sectorSize,
      size: (last - first + 1) * disk.sectorSize,
      type,
      name: new TextDecoder("utf-16le")
        .decode(bytesOf(entries).subarray(at + 56, at + 128))
        .replace(/\0.*$/s, ""),
      uuid: guid(entries, at + 16),
      active: false,
    });
  }
  return partitions;
}

/** Why there is no GPT header where it should be: often the image was made for disks with other sectors. */
async function missingGptReason(disk: DiskReader): Promise<string> {
  for (const other of [512, 4096]) {
    if (other === disk.sectorSize || disk.size < other + 512) continue;
    if (hasGptSignature(await readBytes(disk, other, 512)))
      return `the GPT was made for disks with a sector size of ${other} bytes, and this disk's is ${disk.sectorSize}`;
  }
  return "there is no GPT header behind the protective MBR";
}

function hasGptSignature(sector: DataView): boolean {
  return sector.getBigUint64(0) === 0x4546492050415254n; // "EFI PART"
}

/** A GUID as text; its first three groups are little-endian. */
function guid(view: DataView, at: number): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  const tail = [...bytesOf(view).subarray(at + 8, at + 16)].map((byte) => hex(byte, 2)).join("");
  const groups = [
    hex(view.getUint32(at, true), 8),
    hex(view.getUint16(at + 4, true), 4),
    hex(view.getUint16(at + 6, true), 4),
    tail.slice(0, 4),
    tail.slice(4),
  ];
  return groups.join("-");
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** Exactly `length` bytes. @throws PartitionTableError if the disk ends before */
async function readBytes(disk: DiskReader, offset: number, length: number): Promise<DataView> {
  const bytes = new Uint8Array(length);
  const read = offset + length <= disk.size ? await disk.read(bytes, offset) : 0;
  if (read < length)
    throw new PartitionTableError(`the table points beyond the end of the disk (byte ${offset})`);
  return new DataView(bytes.buffer);
}
