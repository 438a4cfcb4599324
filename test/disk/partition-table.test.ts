// Tables made by sgdisk and parted on files; what is read is compared with what the tools were told. Loop devices come in
// only where the sector size matters (disk.test.ts covers the rest of the disk layer).

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { moveBackupGpt } from "../../src/disk/gpt-backup.ts";
import {
  type DiskReader,
  diskIdentifier,
  PartitionTableError,
  readPartitionTable,
  usedPrimaries,
} from "../../src/disk/partition-table.ts";
import { type BlockDevice, realBlockDevices } from "../../src/system/block-device.ts";
import { tool } from "../support/loop-device.ts";
import { rejection } from "../support/rejection.ts";

// sgdisk flushes all file systems of the machine, and then sleeps for a second: that can take long on a busy one.
setDefaultTimeout(180_000);

const MEBIBYTE = 1024 * 1024;
const SIZE = 64 * MEBIBYTE;
let directory = "";
let disk = "";

beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/table-`);
  disk = `${directory}/disk`;
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

async function blank(size = SIZE): Promise<void> {
  await writeFile(disk, "");
  await truncate(disk, size);
}

async function parted(...commands: string[]): Promise<void> {
  await blank();
  await tool("parted", "-s", disk, ...commands);
}

async function table() {
  await using device = await realBlockDevices.open(disk, "read");
  return await readPartitionTable(device);
}

async function reasonForNone(reader?: DiskReader): Promise<string> {
  try {
    await (reader === undefined ? table() : readPartitionTable(reader));
  } catch (error) {
    expect(error).toBeInstanceOf(PartitionTableError);
    return (error as PartitionTableError).message;
  }
  return "a table";
}

/** A disk in memory. */
function memory(bytes: Uint8Array, sectorSize = 512): DiskReader {
  return {
    size: bytes.length,
    sectorSize,
    read: async (buffer, offset) => {
      const part = bytes.subarray(offset, offset + buffer.length);
      buffer.set(part);
      return part.length;
    },
  };
}

async function bytesOf(path: string): Promise<Buffer> {
  return Buffer.from(await Bun.file(path).arrayBuffer());
}

describe("MBR", () => {
  // hardware 13.25
  test("primary, extended and logical partitions, with their types and the boot flag", async () => {
    await parted(
      ...["mklabel", "msdos", "mkpart", "primary", "fat32", "1MiB", "9MiB", "set", "1", "boot", "on"],
      ...["mkpart", "extended", "10MiB", "60MiB", "mkpart", "logical", "ext4", "11MiB", "20MiB"],
      ...["mkpart", "logical", "linux-swap", "21MiB", "30MiB", "mkpart", "logical", "ext4", "31MiB", "60MiB"],
    );
    const { label, partitions } = await table();
    expect(label).toBe("msdos");
    expect(
      partitions.map(({ number, start, type, active }) => [number, start / MEBIBYTE, type, active]),
    ).toEqual([
      [1, 1, "0c", true],
      [2, 10, "0f", false],
      [5, 11, "83", false],
      [6, 21, "82", false],
      [7, 31, "83", false],
    ]);
    expect(partitions.find(({ number }) => number === 6)?.size).toBe(9 * MEBIBYTE);
    expect(await usedPrimaries(memory(await bytesOf(disk)))).toBe(2);
  });

  test("an extended partition whose chain bites its own tail ends", async () => {
    await parted(
      "mklabel",
      "msdos",
      "mkpart",
      "extended",
      "1MiB",
      "60MiB",
      "mkpart",
      "logical",
      "ext4",
      "2MiB",
      "9MiB",
    );
    const bytes = await bytesOf(disk);
    // The second entry of the first link points back at the link itself.
    const link = MEBIBYTE;
    bytes.set([0, 0, 0, 0, 0x05, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], link + 462);
    const { partitions } = await readPartitionTable(memory(bytes));
    expect(partitions.length).toBeLessThan(200);
  });

  test("a formatted swap partition is a partition", async () => {
    await parted("mklabel", "msdos", "mkpart", "primary", "linux-swap", "1MiB", "20MiB");
    const bytes = await bytesOf(disk);
    bytes.write("SWAPSPACE2", MEBIBYTE + 4086, "latin1");
    expect((await readPartitionTable(memory(bytes))).partitions).toHaveLength(1);
  });

  test("an MBR of 512-byte sectors seen on a 4096-byte disk points beyond its end, which is said", async () => {
    await parted("mklabel", "msdos", "mkpart", "primary", "ext4", "1MiB", "60MiB");
    expect(await reasonForNone(memory(await bytesOf(disk), 4096))).toContain("another sector size");
  });
});

describe("GPT", () => {
  test("of an image that was shrunk without its table: partitions beyond the end are said", async () => {
    await blank();
    await tool("sgdisk", "-n", "1:1M:+10M", "-n", "2:20M:+40M", disk);
    await truncate(disk, 32 * MEBIBYTE);
    expect(await reasonForNone()).toStartWith(
      `partition 2 ends beyond the end of the disk (at byte ${60 * MEBIBYTE} of ${32 * MEBIBYTE}): the image was cut off`,
    );
  });

  test("a table made for another sector size is recognised, in both directions", async () => {
    await blank();
    await tool("sgdisk", "-n", "1:1M:+10M", disk);
    const made512 = await bytesOf(disk);
    expect(await reasonForNone(memory(made512, 4096))).toBe(
      "the GPT was made for disks with a sector size of 512 bytes, and this disk's is 4096",
    );
    const made4096 = Buffer.alloc(SIZE);
    made512.copy(made4096, 0, 0, 512);
    made512.copy(made4096, 4096, 512, 1024);
    expect(await reasonForNone(memory(made4096))).toBe(
      "the GPT was made for disks with a sector size of 4096 bytes, and this disk's is 512",
    );
  });

  test("the identifier is the MBR's signature, little-endian", async () => {
    await blank();
    await tool("sgdisk", "-n", "1:0:0", disk);
    expect(diskIdentifier((await table()).signature)).toBe("0x00000000");
    const bytes = await bytesOf(disk);
    bytes.set([0x78, 0x56, 0x34, 0x02], 440);
    expect(diskIdentifier((await readPartitionTable(memory(bytes))).signature)).toBe("0x02345678");
  });
});

describe("no table", () => {
  test.each([
    ["a blank disk", async () => {}, "no signature"],
    ["a FAT file system", () => tool("mkfs.vfat", disk), "FAT file system"],
    ["an ext4 file system", () => tool("mkfs.ext4", "-q", disk), "no signature"],
    [
      "a protective MBR without a GPT",
      async () => {
        await tool("sgdisk", "-n", "1:0:0", disk);
        await tool("dd", "if=/dev/zero", `of=${disk}`, "bs=512", "seek=1", "count=1", "conv=notrunc");
      },
      "no GPT header",
    ],
  ])("%s", async (_, make, reason) => {
    await blank();
    await make();
    expect(await reasonForNone()).toContain(reason);
  });

  test("a disk shorter than a sector", async () => {
    expect(await reasonForNone(memory(new Uint8Array(100)))).toContain("beyond the end of the disk");
  });
});

describe("moving the backup GPT", () => {
  /** A 32 MiB image on a disk of `SIZE`. */
  async function enlarged(): Promise<BlockDevice> {
    await blank(32 * MEBIBYTE);
    await tool("sgdisk", "-n", "1:1M:+10M", "-c", "1:root", disk);
    await truncate(disk, SIZE);
    return realBlockDevices.open(disk, "write-exclusive");
  }

  test("makes a table that sgdisk finds nothing wrong with, and changes no partition", async () => {
    const before = await enlarged().then(async (device) => {
      await using _closed = device;
      const read = await readPartitionTable(device);
      expect(await moveBackupGpt(device)).toBe(true);
      expect(await moveBackupGpt(device)).toBe(false);
      return read;
    });
    expect(await tool("sgdisk", "-v", disk)).toContain("No problems found");
    expect(await table()).toEqual(before);
    // The whole room is usable afterwards, as far as the tools are concerned.
    await tool("sgdisk", "-n", "2:0:0", disk);
    expect((await table()).partitions[1]?.size).toBeGreaterThan(50 * MEBIBYTE);
  });

  test("keeps the MBR's signature, by which some systems find their root", async () => {
    {
      await using device = await enlarged();
      await device.write(new Uint8Array([1, 2, 3, 4]), 440);
      await moveBackupGpt(device);
    }
    expect((await table()).signature).toBe(0x04030201);
  });

  test("leaves a readable table at every moment: cut before any of its writes", async () => {
    await (await enlarged())[Symbol.asyncDispose]();
    const original = await bytesOf(disk);
    for (let writes = 0; writes < 6; writes++) {
      await Bun.write(disk, original);
      const device = await realBlockDevices.open(disk, "write-exclusive");
      let left = writes;
      const cut = new Error("power cut");
      const dying: BlockDevice = {
        path: device.path,
        size: device.size,
        sectorSize: device.sectorSize,
        read: (buffer, offset) => device.read(buffer, offset),
        flush: () => device.flush(),
        write: async (bytes, offset) => {
          if (left-- <= 0) throw cut;
          await device.write(bytes, offset);
        },
        [Symbol.asyncDispose]: async () => {},
      };
      await moveBackupGpt(dying).catch((error: unknown) => expect(error).toBe(cut));
      expect((await readPartitionTable(device)).partitions).toHaveLength(1);
      await device[Symbol.asyncDispose]();
    }
  });

  test("leaves a hybrid MBR as it is: a larger protective entry would overlap the others", async () => {
    await blank(32 * MEBIBYTE);
    await tool("sgdisk", "-n", "1:1M:+10M", disk);
    await tool("sgdisk", "-h", "1:EE", disk);
    await truncate(disk, SIZE);
    const before = (await bytesOf(disk)).subarray(0, 512);
    {
      await using device = await realBlockDevices.open(disk, "write-exclusive");
      expect(await moveBackupGpt(device)).toBe(true);
    }
    expect((await bytesOf(disk)).subarray(0, 512).equals(before)).toBe(true);
    expect(await tool("sgdisk", "-v", disk)).toContain("No problems found");
  });

  test("writes no backup over the end of a partition that leaves it no room", async () => {
    await blank(32 * MEBIBYTE);
    await tool("sgdisk", "-n", "1:1M:20M", disk);
    // As image makers do that cut a file off behind its last partition: 20 MiB and the sector that starts there.
    await truncate(disk, 20 * MEBIBYTE + 512);
    const before = await bytesOf(disk);
    await using device = await realBlockDevices.open(disk, "write-exclusive");
    const error = await rejection(moveBackupGpt(device));
    expect(error).toBeInstanceOf(PartitionTableError);
    expect((error as Error).message).toStartWith("partition 1 reaches into the last ");
    expect((await bytesOf(disk)).equals(before)).toBe(true);
  });

  test("refuses to copy a damaged table", async () => {
    await using device = await enlarged();
    await device.write(new Uint8Array([0xff]), 1024);
    expect(await rejection(moveBackupGpt(device))).toBeInstanceOf(PartitionTableError);
  });
});

test("whatever stands on a disk, the answer is a table or a reason", async () => {
  await blank(2 * MEBIBYTE);
  await tool("sgdisk", "-n", "1:0:0", disk);
  const gpt = await bytesOf(disk);
  await tool(
    "parted",
    "-s",
    disk,
    "mklabel",
    "msdos",
    "mkpart",
    "extended",
    "0%",
    "100%",
    "mkpart",
    "logical",
    "50%",
    "100%",
  );
  const mbr = await bytesOf(disk);
  const mutation = fc.array(fc.tuple(fc.integer({ min: 0, max: 2047 }), fc.integer({ min: 0, max: 255 })), {
    maxLength: 12,
  });
  for (const seed of [gpt, mbr, Buffer.alloc(4096)]) {
    const start = seed.subarray(0, 2048);
    await fc.assert(
      fc.asyncProperty(mutation, fc.constantFrom(512, 4096), async (changes, sectorSize) => {
        const bytes = Buffer.from(seed);
        for (const [at, value] of changes) if (at < start.length) bytes[at] = value;
        await reasonForNone(memory(bytes, sectorSize));
      }),
      { numRuns: 300 },
    );
  }
});
