// The firmware's own description of the machine: the SMBIOS structure table that the kernel shows in sysfs.
// The reference asks lshw, which spends its time on other things; these are the few records behind the values
// it takes, with lshw 02.19's reading of them (tried out against it with made-up tables). The table is
// firmware's: wrong lengths, missing strings and junk bytes are normal.

import { FileError } from "../system/files.ts";
import type { System } from "../system/system.ts";
import type { SystemVendor } from "./manager.ts";

const TABLE = "/sys/firmware/dmi/tables/DMI";
/** Bytes: real tables are a few KiB; SMBIOS 2 ends at 64 KiB. */
const MAX_TABLE = 4 * 1024 * 1024;

const BIOS = 0;
const SYSTEM = 1;
const CHASSIS = 3;
const MEMORY_ARRAY = 16;
const MEMORY_DEVICE = 17;
const END_OF_TABLE = 127;

/** Uses of a memory array that are not main memory: video, flash, non-volatile RAM, cache. */
const OTHER_USES = new Set([4, 5, 6, 7]);

/** A structure: its formatted part with the 4-byte header, and its strings. */
export type SmbiosStructure = {
  readonly type: number;
  readonly handle: number;
  readonly data: DataView;
  readonly strings: readonly string[];
};

/** Null when the machine has no SMBIOS, or an empty one. */
export async function readSmbios(system: System): Promise<SmbiosStructure[] | null> {
  let table: Uint8Array;
  try {
    table = await system.files.readBytes(TABLE, MAX_TABLE);
  } catch (error) {
    if (error instanceof FileError) return null;
    throw error;
  }
  const structures = parseSmbios(table);
  return structures.length === 0 ? null : structures;
}

/** The structures up to the end mark; what is cut off or malformed ends the list. */
export function parseSmbios(table: Uint8Array): SmbiosStructure[] {
  const structures: SmbiosStructure[] = [];
  let position = 0;
  while (position + 4 <= table.length) {
    const length = table[position + 1] ?? 0;
    const end = position + length;
    if (length < 4 || end > table.length) break;
    const data = new DataView(table.buffer, table.byteOffset + position, length);
    const { strings, next } = readStrings(table, end);
    const type = data.getUint8(0);
    structures.push({ type, handle: data.getUint16(2, true), data, strings });
    if (type === END_OF_TABLE) break;
    position = next;
  }
  return structures;
}

/** Bytes of main memory in the machine's modules; 0 if the table tells none. */
export function installedMemory(structures: readonly SmbiosStructure[]): number {
  const otherArrays = new Set(
    structures
      .filter(({ type, data }) => type === MEMORY_ARRAY && OTHER_USES.has(byteAt(data, 5)))
      .map(({ handle }) => handle),
  );
  return structures
    .filter(({ type, data }) => type === MEMORY_DEVICE && !otherArrays.has(wordAt(data, 4)))
    .reduce((sum, { data }) => sum + memoryDeviceSize(data), 0);
}

/** Names of the machine and its firmware; "" for what is not there. */
export function systemVendor(structures: readonly SmbiosStructure[]): SystemVendor {
  const system = structures.find(({ type }) => type === SYSTEM);
  const chassis = structures.find(({ type }) => type === CHASSIS);
  const bios = structures.find(({ type }) => type === BIOS);
  const product = stringAt(system, 5);
  // The stock keeping unit counts only in tables that have the family behind it, too.
  const sku = system !== undefined && system.data.byteLength >= 0x1b ? stringAt(system, 0x19) : "";
  return {
    product_name: sku === "" ? product : `${product} (${sku})`.trim(),
    serial_number: stringAt(system, 7) || stringAt(chassis, 7),
    manufacturer: stringAt(system, 4) || stringAt(chassis, 4),
    firmware: {
      vendor: stringAt(bios, 4),
      version: stringAt(bios, 5),
      build_date: stringAt(bios, 8),
    },
  };
}

/** Bytes. Unknown (0xffff) and empty slots are 0. */
function memoryDeviceSize(data: DataView): number {
  const size = wordAt(data, 12);
  if (size === 0xffff) return 0;
  if (size === 0x7fff && data.byteLength >= 0x20) return (data.getUint32(0x1c, true) & 0x7fffffff) * 2 ** 20;
  // The top bit says that the unit is KiB instead of MiB.
  return (size & 0x7fff) * (size & 0x8000 ? 2 ** 10 : 2 ** 20);
}

/**
 * Strings follow the formatted part, each ended by a zero byte, the set by another one; a set without strings
 * is two zeros.
 */
function readStrings(table: Uint8Array, start: number): { strings: string[]; next: number } {
  const strings: string[] = [];
  let position = start;
  while (position < table.length && table[position] !== 0) {
    const zero = table.indexOf(0, position);
    const end = zero === -1 ? table.length : zero;
    strings.push(clean(table.subarray(position, end)));
    position = end + 1;
  }
  return { strings, next: position + (strings.length === 0 ? 2 : 1) };
}

/** Firmware pads with blanks, and some of it writes control characters and bytes that are no UTF-8. */
function clean(bytes: Uint8Array): string {
  return new TextDecoder()
    .decode(bytes)
    .replace(/[\p{Cc}\uFFFD]/gu, "")
    .trim();
}

/** The string whose number is at `offset`: strings count from 1, 0 is "none". */
function stringAt(structure: SmbiosStructure | undefined, offset: number): string {
  if (structure === undefined) return "";
  return structure.strings[byteAt(structure.data, offset) - 1] ?? "";
}

function byteAt(data: DataView, offset: number): number {
  return offset < data.byteLength ? data.getUint8(offset) : 0;
}

function wordAt(data: DataView, offset: number): number {
  return offset + 2 <= data.byteLength ? data.getUint16(offset, true) : 0;
}
