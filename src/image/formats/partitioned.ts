// A raw disk image with a partition table ("gpt", which covers MBR): told apart from other raw bytes, because a boot sector
// that contradicts itself is a sign of a polyglot. Source: oslo.utils format_inspector; deploy specification 2.9.

import { type FormatInspector, refuse } from "./inspector.ts";

const ENTRIES = 446;
const ENTRY_BYTES = 16;
const ENTRY_COUNT = 4;
const PROTECTIVE = 0xee;

export const partitioned: FormatInspector = {
  name: "gpt",
  async inspect(image) {
    const sector = await image.read(0, 512);
    if (sector.byteLength < 512 || sector.getUint16(510) !== 0x55aa || isFatBootSector(sector)) return null;
    const problem = tableProblem(sector);
    return problem === null ? { virtualSize: image.size, problem: null } : refuse(problem, image.size);
  },
};

/** FAT file systems carry the same signature: two tables and the media byte of a hard disk tell them. */
function isFatBootSector(sector: DataView): boolean {
  return sector.getUint8(0x10) === 2 && sector.getUint8(0x15) === 0xf8;
}

function tableProblem(sector: DataView): string | null {
  const used: number[] = [];
  let protective: number | null = null;
  for (let index = 0; index < ENTRY_COUNT; index++) {
    const entry = ENTRIES + index * ENTRY_BYTES;
    const bootFlag = sector.getUint8(entry);
    const type = sector.getUint8(entry + 4);
    if (bootFlag !== 0 && bootFlag !== 0x80) return `partition entry ${index} has the boot flag ${bootFlag}`;
    if (type !== 0) used.push(index);
    if (type !== PROTECTIVE) continue;
    protective = index;
    const startChs = sector.getUint32(entry) & 0xffffff;
    if (startChs !== 0x000200) return "the protective partition entry starts at an impossible place (CHS)";
    if (sector.getUint32(entry + 8, true) !== 1)
      return "the protective partition entry does not start at sector 1";
  }
  if (used.length === 0) return "the partition table is empty";
  if (protective !== null && (protective !== 0 || used.length > 1))
    return "the protective partition entry is not the only one";
  return null;
}
