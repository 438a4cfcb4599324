// VMware's format. Its descriptor is text that names the files with the data, which qemu-img opens by whatever name is there: only
// images that are one file and say so are let through. Source: VMware "Virtual Disk Format 5.0"; oslo.utils format_inspector;
// qemu block/vmdk.c; deploy specification 2.9; CVE-2024-44082.

import {
  type FormatInspector,
  hasText,
  type ImageReader,
  type Inspection,
  refuse,
  safeNumber,
} from "./inspector.ts";

const SECTOR = 512;
const HEADER_BYTES = 64;
const DESCRIPTOR_LIMIT = 1024 * 1024;
/** In place of the grain directory's sector: it follows from a footer at the end of the file. */
const AT_END = 0xffff_ffff_ffff_ffffn;
/** Types whose data is in the file itself. */
const ONE_FILE = ["monolithicsparse", "streamoptimized"];
const FOOTER_MARKER = 3;
const END_MARKER = 0;
/** Footer marker, footer and end-of-stream marker, a sector each. */
const FOOTER_BYTES = 3 * SECTOR;

export const vmdk: FormatInspector = {
  name: "vmdk",
  async inspect(image) {
    const header = await image.read(0, HEADER_BYTES);
    if (hasText(header, 0, "KDMV")) return judgeSparse(header, image);
    if (hasText(header, 0, "COWD")) return refuse("the format of old ESX is not supported");
    return (await isDescriptor(header, image))
      ? refuse("it is a descriptor alone: its data is in other files")
      : null;
  },
};

async function judgeSparse(header: DataView, image: ImageReader): Promise<Inspection> {
  if (header.byteLength < HEADER_BYTES) return refuse("the file ends in its header");
  const version = header.getUint32(4, true);
  const capacity = safeNumber(header.getBigUint64(12, true));
  if (version < 1 || version > 3) return refuse(`unknown VMDK version ${version}`);
  // qemu takes a capacity of 0 for a descriptor that stands in for others.
  if (capacity === null || capacity === 0 || !Number.isSafeInteger(capacity * SECTOR))
    return refuse("impossible virtual size");
  const problem = (await descriptorProblem(header, image)) ?? (await footerProblem(header, image));
  return { virtualSize: capacity * SECTOR, problem };
}

async function descriptorProblem(header: DataView, image: ImageReader): Promise<string | null> {
  const [start, sectors] = [header.getBigUint64(28, true), header.getBigUint64(36, true)];
  if (start !== 1n) return "its descriptor is not at byte 512";
  if (sectors === 0n || sectors * BigInt(SECTOR) >= BigInt(DESCRIPTOR_LIMIT))
    return "impossible size of its descriptor";
  const length = Number(sectors) * SECTOR;
  const view = await image.read(SECTOR, length);
  if (view.byteLength < length) return "the file ends in its descriptor";
  const [text = ""] = latin1(view).split("\0");
  return descriptorTextProblem(text);
}

/** Every line must be known: whatever else qemu might find in it could be a reference. */
function descriptorTextProblem(text: string): string | null {
  let [type, extents]: [string | null, number] = [null, 0];
  for (const line of text.split(/\r?\n/).map((each) => each.trim())) {
    if (line === "" || line.startsWith("#") || /^ddb\./.test(line)) continue;
    const [, name, quoted = ""] = /^(\w+)\s*=\s*(.*)$/.exec(line) ?? [];
    if (name === undefined) {
      if (!/^(rw|rdonly|noaccess)\s/i.test(line)) return "its descriptor has a line nobody knows";
      if (line.includes("/")) return "its descriptor names a file elsewhere";
      extents++;
      continue;
    }
    const value = quoted.replaceAll('"', "").toLowerCase();
    if (name.toLowerCase() === "createtype") type = value;
    if (
      name.toLowerCase() === "parentfilenamehint" ||
      (name.toLowerCase() === "parentcid" && value !== "ffffffff")
    )
      return "it has a parent image";
  }
  if (type === null || !ONE_FILE.includes(type))
    return `it is of the type '${type ?? "unknown"}', whose data is in other files`;
  return extents === 0 ? "its descriptor has no extents" : null;
}

/** With the grain directory "at end", a second header there is what counts: it must be the first one again. */
async function footerProblem(header: DataView, image: ImageReader): Promise<string | null> {
  if (header.getBigUint64(56, true) !== AT_END) return null;
  if (image.size < FOOTER_BYTES) return "the file ends before its footer";
  const view = await image.read(image.size - FOOTER_BYTES, FOOTER_BYTES);
  if (view.byteLength < FOOTER_BYTES) return "the file ends before its footer";
  const footer = new DataView(view.buffer, view.byteOffset + SECTOR, HEADER_BYTES);
  if (!isMarker(view, 0, 1n, FOOTER_MARKER) || !isMarker(view, 2 * SECTOR, 0n, END_MARKER))
    return "its footer has wrong markers";
  const same = [4, 12, 16, 28, 32, 36, 40].every(
    (at) => footer.getUint32(at, true) === header.getUint32(at, true),
  );
  if (!hasText(footer, 0, "KDMV") || !same) return "its footer contradicts its header";
  return footer.getBigUint64(56, true) === AT_END ? "its footer points to another footer" : null;
}

function isMarker(view: DataView, at: number, value: bigint, type: number): boolean {
  return (
    view.getBigUint64(at, true) === value &&
    view.getUint32(at + 8, true) === 0 &&
    view.getUint32(at + 12, true) === type
  );
}

/** Text alone, as the descriptor of a disk in several files is. */
async function isDescriptor(start: DataView, image: ImageReader): Promise<boolean> {
  if (image.size > DESCRIPTOR_LIMIT || (start.byteLength > 0 && start.getUint8(0) === 0)) return false;
  const text = latin1(await image.read(0, image.size));
  return /^[\t\r\n -~]*$/.test(text) && /^\s*createType\s*=/im.test(text);
}

function latin1(view: DataView): string {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString("latin1");
}
