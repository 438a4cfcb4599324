// Makes SMBIOS tables: the structures the agent reads, field by field as in the DMTF's specification
// (DSP0134).

/** 12 bytes, sizes in the unit the record uses. */
export const UNKNOWN_SIZE = 0xffff;
export const EXTENDED_SIZE = 0x7fff;
export const IN_KIB = 0x8000;

/** A structure with its strings; texts are written byte for byte (Latin-1). */
export function structure(
  type: number,
  handle: number,
  body: readonly number[],
  strings: readonly string[] = [],
): number[] {
  const texts = strings.flatMap((text) => [...Buffer.from(text, "latin1"), 0]);
  return [type, 4 + body.length, ...word(handle), ...body, ...(texts.length === 0 ? [0] : texts), 0];
}

export function bios(strings: readonly string[] = ["TestBIOS", "1.2.3", "03/30/2023"]): number[] {
  return structure(0, 0, [1, 2, ...word(0xe800), 3, 0, 8, ...Array(7).fill(0), 0, 4, 1, 0], strings);
}

export type SystemFields = {
  readonly strings?: readonly string[];
  /** String numbers of maker, product, version, serial number, stock keeping unit, family. */
  readonly numbers?: readonly number[];
  /** Bytes of the formatted part: 25 before SMBIOS 2.4. */
  readonly length?: number;
};

export function system(fields: SystemFields = {}): number[] {
  const strings = fields.strings ?? ["Acme", "Rocket", "v1", "SN123", "SKU1", "Fam"];
  const [maker = 0, product = 0, version = 0, serial = 0, sku = 0, family = 0] = fields.numbers ?? [
    1, 2, 3, 4, 5, 6,
  ];
  const uuid = Array.from({ length: 16 }, (_, index) => index);
  const body = [maker, product, version, serial, ...uuid, 6, sku, family];
  return structure(1, 0x100, body.slice(0, (fields.length ?? 27) - 4), strings);
}

/** `type` 23 is a rack mount chassis. */
export function chassis(type = 23): number[] {
  const body = [1, type, 2, 3, 4, 3, 3, 3, 2, 0, 0, 0, 0, 0, 0, 0, 0];
  return structure(3, 0x300, body, ["ChVend", "ChVer", "ChSer", "ChTag"]);
}

/** `use` 3 is main memory. */
export function memoryArray(handle: number, use = 3): number[] {
  return structure(16, handle, [3, use, 6, ...double(0x80000000), ...word(0xfffe), ...word(1)]);
}

export function memoryDevice(handle: number, array: number, size: number, extendedSize = 0): number[] {
  const body = [
    ...[...word(array), ...word(0xfffe), ...word(64), ...word(64), ...word(size)],
    ...[9, 0, 1, 0, 7, ...word(2), ...word(0)],
    ...[2, 0, 0, 0, 0, ...double(extendedSize), ...word(0), ...word(0), ...word(0), ...word(0)],
  ];
  return structure(17, handle, body, ["DIMM 0", "ACME"]);
}

export const END_OF_TABLE: readonly number[] = structure(127, 0x7f00, []);

function word(value: number): number[] {
  return [value & 0xff, (value >> 8) & 0xff];
}

function double(value: number): number[] {
  return [...word(value & 0xffff), ...word(value >>> 16)];
}
