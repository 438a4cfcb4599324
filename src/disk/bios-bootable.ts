// Whether a disk already has what a BIOS boots: code in its first sector, and something that this code can go on with.
// Told from the bytes; the words of file(1) change with its releases. Source: deploy specification 5.8.

import { type DiskReader, PartitionTableError, readPartitionTable } from "./partition-table.ts";

const BIOS_BOOT_GUID = "21686148-6449-6e6f-744e-656564454649";
const CODE_BYTES = 440;
/** What every `mklabel msdos` leaves: it only starts the active partition's boot sector, and a new root has none. */
const PARTED_STUB = Buffer.from("fab800108ed0bc00b0", "hex");

export async function isBiosBootable(disk: DiskReader): Promise<boolean> {
  const sector = Buffer.alloc(512);
  await disk.read(sector, 0);
  const code = sector.subarray(0, CODE_BYTES);
  if (sector.readUInt16BE(510) !== 0x55aa) return false;
  if (code.every((byte) => byte === 0) || code.subarray(0, PARTED_STUB.length).equals(PARTED_STUB))
    return false;
  try {
    const { partitions } = await readPartitionTable(disk);
    return partitions.some(({ active, type }) => active || type === BIOS_BOOT_GUID);
  } catch (error) {
    if (error instanceof PartitionTableError) return false;
    throw error;
  }
}
