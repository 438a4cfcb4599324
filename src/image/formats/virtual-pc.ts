// Microsoft's formats, VHD and VHDX. Both can be differences to a parent, which would be another file: those are refused.
// Source: "Virtual Hard Disk Image Format Specification"; MS-VHDX; deploy specification 2.9.

import {
  type FormatInspector,
  hasText,
  type ImageReader,
  type Inspection,
  refuse,
  safeNumber,
} from "./inspector.ts";

const FOOTER_BYTES = 512;
/** VHD disk types: 2 fixed, 3 dynamic; 4 is a difference. */
const VHD_WHOLE = [2, 3];

const REGION_TABLE = 192 * 1024;
/** Header and entries of a region table, and of the table in the metadata region. */
const TABLE_HEADER = { regions: 16, metadata: 32 } as const;
const ENTRY_BYTES = 32;
const MAX_ENTRIES = 2047;
const METADATA_REGION = "06a27c8b90479a4bb8fe575f050f886e";
const VIRTUAL_SIZE = "2442a52f1bcd7648b2115dbed83bf4b8";
const PARENT_LOCATOR = "2d5fd3a80bb34d45abf7d3d84834ab0c";

/** A fixed-size image has its footer only, in the last 512 bytes; older tools wrote 511. */
export const vhd: FormatInspector = {
  name: "vhd",
  async inspect(image) {
    const start = await image.read(0, FOOTER_BYTES);
    if (hasText(start, 0, "conectix")) return judgeVhd(start);
    if (image.size < FOOTER_BYTES) return null;
    const tail = await image.read(image.size - FOOTER_BYTES, FOOTER_BYTES);
    for (const at of [0, 1])
      if (hasText(tail, at, "conectix"))
        return {
          ...judgeVhd(new DataView(tail.buffer, tail.byteOffset + at, FOOTER_BYTES - at)),
          aroundDisk: true,
        };
    return null;
  },
};

function judgeVhd(footer: DataView): Inspection {
  if (footer.byteLength < FOOTER_BYTES - 1) return refuse("the file ends in its header");
  // The size it was made with, and the one it was changed to.
  const sizes = [40, 48].map((offset) => safeNumber(footer.getBigUint64(offset)));
  if (sizes.includes(null)) return refuse("impossible virtual size");
  const virtualSize = Math.max(...sizes.map(Number));
  const type = footer.getUint32(60);
  if (!VHD_WHOLE.includes(type)) return refuse(`it is no complete image (disk type ${type})`, virtualSize);
  return { virtualSize, problem: null };
}

export const vhdx: FormatInspector = {
  name: "vhdx",
  async inspect(image) {
    if (!hasText(await image.read(0, 8), 0, "vhdxfile")) return null;
    const metadata = await findMetadata(image);
    return typeof metadata === "string" ? refuse(metadata) : judgeMetadata(image, metadata);
  },
};

/** Where the metadata region lies, or what is wrong. */
async function findMetadata(
  image: ImageReader,
): Promise<{ readonly offset: number; readonly length: number } | string> {
  const table = await image.read(REGION_TABLE, TABLE_HEADER.regions + MAX_ENTRIES * ENTRY_BYTES);
  if (table.byteLength < TABLE_HEADER.regions || !hasText(table, 0, "regi")) return "it has no region table";
  const count = table.getUint32(8, true);
  if (count > MAX_ENTRIES) return `impossible number of regions (${count})`;
  for (const entry of entries(table, TABLE_HEADER.regions, count)) {
    if (guid(table, entry) !== METADATA_REGION) continue;
    const offset = safeNumber(table.getBigUint64(entry + 16, true));
    const length = table.getUint32(entry + 24, true);
    if (offset === null || offset + length > image.size)
      return "its metadata lies beyond the end of the file";
    return { offset, length };
  }
  return "it has no metadata region";
}

async function judgeMetadata(
  image: ImageReader,
  region: { readonly offset: number; readonly length: number },
): Promise<Inspection> {
  const table = await image.read(
    region.offset,
    Math.min(region.length, TABLE_HEADER.metadata + MAX_ENTRIES * ENTRY_BYTES),
  );
  if (table.byteLength < TABLE_HEADER.metadata || !hasText(table, 0, "metadata"))
    return refuse("its metadata region holds something else");
  const count = table.getUint16(10, true);
  if (count > MAX_ENTRIES) return refuse(`impossible number of metadata items (${count})`);
  let virtualSize: number | null = null;
  for (const entry of entries(table, TABLE_HEADER.metadata, count)) {
    const id = guid(table, entry);
    if (id === PARENT_LOCATOR) return refuse("it has a parent image");
    if (id !== VIRTUAL_SIZE) continue;
    const item = await image.read(region.offset + table.getUint32(entry + 16, true), 8);
    if (item.byteLength === 8) virtualSize = safeNumber(item.getBigUint64(0, true));
  }
  return virtualSize === null ? refuse("it does not say its virtual size") : { virtualSize, problem: null };
}

/** Offsets of the entries that are there in full. */
function* entries(table: DataView, first: number, count: number): Generator<number> {
  for (let index = 0; index < count; index++) {
    const entry = first + index * ENTRY_BYTES;
    if (entry + ENTRY_BYTES > table.byteLength) return;
    yield entry;
  }
}

/** The 16 bytes as they stand in the file: Microsoft's GUIDs have their first three parts little-endian there. */
function guid(view: DataView, offset: number): string {
  return Buffer.from(view.buffer, view.byteOffset + offset, 16).toString("hex");
}
