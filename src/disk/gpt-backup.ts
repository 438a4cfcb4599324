// Moves the backup GPT to the disk's last sector, where it belongs once an image lies on a disk larger than itself. Done
// natively, because sgdisk would also zero the MBR's disk signature, by which some systems find their root.
// Source: deploy specification 2.10; UEFI specification 5.3.

import type { BlockDevice } from "../system/block-device.ts";
import {
  type GptHeader,
  headerChecksum,
  PartitionTableError,
  readGptEntries,
  readGptHeader,
  readPartitionTable,
} from "./partition-table.ts";

/** A GPT reserves at least this much for its entries, however few it has. */
const MIN_ENTRIES_BYTES = 16_384;

/**
 * Makes a valid backup table at the end of the disk if it is not there.
 * @returns true if the disk was changed
 * @throws PartitionTableError if the primary table is damaged, or a partition lies where the backup belongs; the device's errors
 */
export async function moveBackupGpt(disk: BlockDevice): Promise<boolean> {
  const { sectorSize } = disk;
  const lastLba = disk.size / sectorSize - 1;
  const primary = await readGptHeader(disk, 1);
  const entries = await readGptEntries(disk, primary);
  if (primary.alternateLba === lastLba && (await hasBackup(disk, lastLba))) return false;
  const entrySectors = Math.ceil(Math.max(entries.byteLength, MIN_ENTRIES_BYTES) / sectorSize);
  const entriesLba = lastLba - entrySectors;
  const lastUsableLba = entriesLba - 1;
  await requireRoom(disk, entriesLba * sectorSize);

  // The backup first: at every moment one of the two tables is whole.
  const table = new Uint8Array(entrySectors * sectorSize);
  table.set(new Uint8Array(entries.buffer, entries.byteOffset, entries.byteLength));
  await disk.write(table, entriesLba * sectorSize);
  const backup = { own: lastLba, other: 1, entries: entriesLba, lastUsable: lastUsableLba };
  await disk.write(header(primary, backup), lastLba * sectorSize);
  await disk.flush();
  const front = { own: 1, other: lastLba, entries: primary.entriesLba, lastUsable: lastUsableLba };
  await disk.write(header(primary, front), sectorSize);
  await growProtectiveEntry(disk, lastLba);
  await disk.flush();
  return true;
}

/** Some images end with their last partition, without room for a backup; on a disk of their size there is none either. */
async function requireRoom(disk: BlockDevice, backupStart: number): Promise<void> {
  const { partitions } = await readPartitionTable(disk);
  const inTheWay = partitions.find(({ start, size }) => start + size > backupStart);
  if (inTheWay === undefined) return;
  throw new PartitionTableError(
    `partition ${inTheWay.number} reaches into the last ${disk.size - backupStart} bytes of the disk, where the backup of the ` +
      "table belongs",
  );
}

/** A header sector like `model`, in another place. */
function header(
  model: GptHeader,
  place: { own: number; other: number; entries: number; lastUsable: number },
): Uint8Array {
  const bytes = new Uint8Array(model.sector.buffer.slice(0));
  const view = new DataView(bytes.buffer);
  view.setBigUint64(24, BigInt(place.own), true);
  view.setBigUint64(32, BigInt(place.other), true);
  view.setBigUint64(48, BigInt(place.lastUsable), true);
  view.setBigUint64(72, BigInt(place.entries), true);
  view.setUint32(16, headerChecksum(view, model.headerBytes), true);
  return bytes;
}

async function hasBackup(disk: BlockDevice, lba: number): Promise<boolean> {
  try {
    await readGptEntries(disk, await readGptHeader(disk, lba));
    return true;
  } catch (error) {
    if (error instanceof PartitionTableError) return false;
    throw error;
  }
}

/**
 * The protective MBR entry covers the whole disk, or as much as 32 bits can say. In a hybrid MBR it shares the disk with others, and
 * stays as it is.
 */
async function growProtectiveEntry(disk: BlockDevice, lastLba: number): Promise<void> {
  const sector = new Uint8Array(disk.sectorSize);
  await disk.read(sector, 0);
  const view = new DataView(sector.buffer);
  const [entry, another] = [446, 462, 478, 494].filter((at) => view.getUint8(at + 4) !== 0);
  if (entry === undefined || another !== undefined) return;
  view.setUint32(entry + 12, Math.min(lastLba, 0xffff_ffff), true);
  await disk.write(sector, 0);
}
