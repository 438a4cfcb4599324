// The disk layer on real loop devices with the real tools.

import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { writeConfigDrive } from "../../src/disk/config-drive.ts";
import { decodeConfigDrive } from "../../src/disk/config-drive-content.ts";
import { destroyMetadata } from "../../src/disk/destroy-metadata.ts";
import { moveBackupGpt } from "../../src/disk/gpt-backup.ts";
import { diskIdentifier, PartitionTableError, readPartitionTable } from "../../src/disk/partition-table.ts";
import { wipeDiskMetadata } from "../../src/disk/wipe.ts";
import { DeploymentError } from "../../src/errors.ts";
import { createSystem } from "../../src/system/real.ts";
import { type LoopDevice, loopDevice } from "../support/loop-device.ts";
import { rejection, thrower } from "../support/rejection.ts";

const MEBIBYTE = 1024 * 1024;
const system = createSystem({ name: "test", debug: false, json: false, file: "/dev/null", stream: "stderr" });
const { signal } = new AbortController();
const rescan = { attempts: 10, signal };
const fill = { ...rescan, rebuild: false };

const tool = async (...argv: string[]) => (await system.run(argv)).stdout;

async function tableOf(path: string) {
  await using device = await system.blockDevices.open(path, "read");
  return await readPartitionTable(device);
}

async function bytesAt(path: string, offset: number, length: number): Promise<Buffer> {
  await using device = await system.blockDevices.open(path, "read");
  const buffer = Buffer.alloc(length);
  await device.read(buffer, offset);
  return buffer;
}

/** A small FAT image as mkfs makes it, labelled config-2. */
async function fatImage(): Promise<Uint8Array> {
  await using directory = await system.files.temporaryDirectory("fat-");
  const path = `${directory.path}/image`;
  await tool("truncate", "--size=1M", path);
  await tool("mkfs.vfat", "-n", "config-2", path);
  return await system.files.readBytes(path, MEBIBYTE);
}

describe.each([512, 4096] as const)("on a disk with %d-byte sectors", (sectorSize) => {
  // Every test has a disk of its own, so that they can run beside each other: sgdisk sleeps a second per call.
  const testOnDisk = (name: string, body: (disk: LoopDevice) => Promise<void>) =>
    test.concurrent(name, async () => {
      await using disk = await loopDevice(200 * MEBIBYTE, sectorSize);
      await body(disk);
    }, 60_000);

  testOnDisk(
    "a GPT made by sgdisk is read with its numbers, places, types, GUIDs and names",
    async (disk) => {
      const guid = "0fd11ff5-cd7a-4a55-a3f4-0f1e2d3c4b5a";
      await tool("sgdisk", "-n", "1:1M:+10M", "-t", "1:ef00", "-u", `1:${guid}`, "-c", "1:esp é", disk.path);
      await tool("sgdisk", "-n", "7:20M:+5M", disk.path);
      expect(await tableOf(disk.path)).toMatchObject({
        label: "gpt",
        partitions: [
          {
            number: 1,
            start: MEBIBYTE,
            size: 10 * MEBIBYTE,
            type: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
            uuid: guid,
            name: "esp é",
          },
          { number: 7, start: 20 * MEBIBYTE, type: "0fc63daf-8483-4772-8e79-3d69d8477de4" },
        ],
      });
    },
  );

  testOnDisk("an MBR made by parted is read, and its signature is the disk's identifier", async (disk) => {
    await tool("parted", "-s", disk.path, "mklabel", "msdos", "mkpart", "primary", "fat32", "1MiB", "11MiB");
    const signature = (await tool("blkid", "-p", "-o", "value", "-s", "PTUUID", disk.path)).trim();
    const table = await tableOf(disk.path);
    expect(table).toMatchObject({
      label: "msdos",
      partitions: [{ number: 1, start: MEBIBYTE, size: 10 * MEBIBYTE, type: "0c", uuid: null }],
    });
    expect(diskIdentifier(table.signature)).toBe(`0x${signature}`);
  });

  testOnDisk("a damaged GPT and a blank disk are no table", async (disk) => {
    expect(await thrower(tableOf(disk.path))).toThrow("no partition table");
    await tool("sgdisk", "-n", "1:1M:+10M", disk.path);
    const entry = await bytesAt(disk.path, 2 * sectorSize, 1);
    {
      await using device = await system.blockDevices.open(disk.path, "write-exclusive");
      await device.write(new Uint8Array([(entry[0] ?? 0) ^ 0xff]), 2 * sectorSize);
    }
    expect(await thrower(tableOf(disk.path))).toThrow("checksum of the GPT entries");
  });

  testOnDisk("a GPT made for the other sector size is told as such", async (disk) => {
    const other = sectorSize === 512 ? 4096 : 512;
    await using foreign = await loopDevice(200 * MEBIBYTE, other);
    await tool("sgdisk", "-n", "1:1M:+10M", foreign.path);
    await tool("dd", `if=${foreign.backingFile}`, `of=${disk.path}`, "bs=1M", "conv=fsync");
    expect(await thrower(tableOf(disk.path))).toThrow(`sector size of ${other} bytes`);
  });

  testOnDisk("the backup GPT of an image made for a smaller disk moves to the end", async (disk) => {
    await using small = await loopDevice(100 * MEBIBYTE, sectorSize);
    await tool("sgdisk", "-n", "1:1M:+10M", small.path);
    await tool("dd", `if=${small.backingFile}`, `of=${disk.path}`, "bs=1M", "conv=fsync");
    const before = await tableOf(disk.path);
    await using device = await system.blockDevices.open(disk.path, "write-exclusive");
    expect(await moveBackupGpt(device)).toBe(true);
    expect(await moveBackupGpt(device)).toBe(false);
    await device[Symbol.asyncDispose]();
    expect(await tableOf(disk.path)).toEqual(before);
    expect(await tool("sgdisk", "-v", disk.path)).toContain("No problems found");
  });

  testOnDisk("nothing of an old table, file system or array is left after the wipe", async (disk) => {
    await tool("sgdisk", "-n", "1:1M:+50M", "-n", "2:60M:+50M", disk.path);
    await tool("partprobe", disk.path);
    await tool("mkfs.ext4", "-q", `${disk.path}p1`);
    await tool("mkswap", `${disk.path}p2`);
    await wipeDiskMetadata(system, disk.path, signal);
    expect(await tool("wipefs", "--noheadings", disk.path)).toBe("");
    expect(await rejection(tableOf(disk.path))).toBeInstanceOf(PartitionTableError);
    const edge = 20 * sectorSize;
    expect((await bytesAt(disk.path, disk.size - edge, edge)).equals(Buffer.alloc(edge))).toBe(true);
    // The partitions' signatures went too: a new table of the same shape brings nothing back to life.
    await tool("sgdisk", "-n", "1:1M:+50M", "-n", "2:60M:+50M", disk.path);
    await tool("partprobe", disk.path);
    expect(await tool("wipefs", "--noheadings", `${disk.path}p1`, `${disk.path}p2`)).toBe("");
  });

  // hardware 13.67; deploy 10, bug 24: the kernel shows a kibibyte of an extended partition, where no GPT has room.
  testOnDisk("partitions too small for a table lose their metadata like all others", async (disk) => {
    const table =
      "label: dos\\nstart=1MiB,size=9MiB\\nstart=20MiB,size=40MiB,type=5\\nstart=30MiB,size=20MiB\\n";
    await tool("sh", "-c", `printf '${table}' | sfdisk --quiet ${disk.path}`);
    await tool("partprobe", disk.path);
    await tool("mkfs.ext4", "-q", `${disk.path}p5`);
    expect(Number(await tool("blockdev", "--getsize64", `${disk.path}p2`))).toBeLessThanOrEqual(4096);
    for (const device of [`${disk.path}p5`, `${disk.path}p2`, `${disk.path}p1`, disk.path])
      await destroyMetadata(system, device, { attempts: 2, interval: 1 }, signal);
    expect(await tool("wipefs", "--noheadings", disk.path)).toBe("");
    const record = await bytesAt(disk.path, 20 * MEBIBYTE, 1024);
    expect(record.equals(Buffer.alloc(1024))).toBe(true);
  });

  // hardware 13.67
  testOnDisk("and a whole disk that is", async (disk) => {
    await tool("truncate", `--size=${10 * sectorSize}`, disk.backingFile);
    await tool("losetup", "--set-capacity", disk.path);
    await tool("dd", "if=/dev/urandom", `of=${disk.path}`, `bs=${sectorSize}`, "count=10", "conv=fsync");
    await destroyMetadata(system, disk.path, { attempts: 2, interval: 1 }, signal);
    expect((await bytesAt(disk.path, 0, 10 * sectorSize)).equals(Buffer.alloc(10 * sectorSize))).toBe(true);
  });

  testOnDisk("a config drive gets a partition of its own at the end of a GPT disk", async (disk) => {
    await tool("sgdisk", "-n", "1:1M:+50M", disk.path);
    const content = await fatImage();
    const partition = await writeConfigDrive(system, { disk: disk.path, nodeUuid: "node" }, content, fill);
    expect(partition).toBe(`${disk.path}p2`);
    expect((await bytesAt(partition, 0, content.length)).equals(Buffer.from(content))).toBe(true);
    const table = await tableOf(disk.path);
    expect(table.partitions[1]?.size).toBeGreaterThanOrEqual(63 * MEBIBYTE);
    expect(await tool("sgdisk", "-v", disk.path)).toContain("No problems found");
    // A second deploy of it finds the label and changes no partition.
    expect(await writeConfigDrive(system, { disk: disk.path, nodeUuid: "node" }, content, fill)).toBe(
      partition,
    );
    expect(await tableOf(disk.path)).toEqual(table);
  });

  testOnDisk("and an MBR disk too, with the partition aligned and of the FAT type", async (disk) => {
    await tool("parted", "-s", disk.path, "mklabel", "msdos", "mkpart", "primary", "ext4", "1MiB", "51MiB");
    const content = await fatImage();
    const partition = await writeConfigDrive(system, { disk: disk.path, nodeUuid: "node" }, content, fill);
    expect(partition).toBe(`${disk.path}p2`);
    expect(await tableOf(disk.path)).toMatchObject({ label: "msdos", partitions: [{}, { type: "0c" }] });
  });

  testOnDisk("when 64 MiB are not free at the end, what the content needs is enough", async (disk) => {
    await tool("sgdisk", "-n", "1:4M:190M", disk.path);
    const partition = await writeConfigDrive(
      system,
      { disk: disk.path, nodeUuid: "node" },
      await fatImage(),
      fill,
    );
    expect(partition).toBe(`${disk.path}p2`);
  });

  testOnDisk(
    "a full disk, four primaries and no table are errors that name the disk, and change no byte",
    async (disk) => {
      const target = { disk: disk.path, nodeUuid: "node" };
      const content = await fatImage();
      const attempt = async () => {
        const before = await bytesAt(disk.path, 0, MEBIBYTE);
        const error = await writeConfigDrive(system, target, content, fill).catch(
          (thrown: unknown) => thrown,
        );
        expect(error).toBeInstanceOf(DeploymentError);
        expect((await bytesAt(disk.path, 0, MEBIBYTE)).equals(before)).toBe(true);
        return (error as DeploymentError).details;
      };
      expect(await attempt()).toContain(`present on ${disk.path}`);
      await tool("sgdisk", "-n", "1:0:0", disk.path);
      expect(await attempt()).toContain(`Failed to create config drive on disk ${disk.path} for node node`);
      await tool("sgdisk", "-Z", disk.path);
      const primaries = [1, 20, 40, 60].flatMap((at) => ["mkpart", "primary", `${at}MiB`, `${at + 10}MiB`]);
      await tool("parted", "-s", disk.path, "mklabel", "msdos", ...primaries);
      expect(await attempt()).toContain("already has 4 primary partitions");
    },
  );

  // deploy 11.59
  testOnDisk("two partitions labelled config-2 are an error that names both", async (disk) => {
    await tool("sgdisk", "-n", "1:1M:+10M", "-n", "2:20M:+10M", disk.path);
    await tool("partprobe", disk.path);
    for (const number of [1, 2]) await tool("mkfs.vfat", "-n", "CONFIG-2", `${disk.path}p${number}`);
    expect(
      await thrower(writeConfigDrive(system, { disk: disk.path, nodeUuid: "node" }, await fatImage(), fill)),
    ).toThrow(`${disk.path}p1 and ${disk.path}p2`);
  });
});

describe("a config drive as it comes over the wire", () => {
  const origin = { nodeUuid: "node", url: null };
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");

  // deploy 11.54; deploy 10, bug 34
  test("base64 of gzip, with and without line breaks, base64 of an image, and an image itself", async () => {
    const image = await fatImage();
    const packed = base64(gzipSync(image));
    for (const form of [packed, packed.replace(/.{76}/g, "$&\n"), base64(image), image, gzipSync(image)])
      expect(Buffer.from(await decodeConfigDrive(form, origin)).equals(Buffer.from(image))).toBe(true);
    expect((await decodeConfigDrive(new TextEncoder().encode(packed), origin)).length).toBe(image.length);
  });

  // deploy 11.55
  test.each([
    ["no base64", "%%%", "is not base64 encoded"],
    ["cut base64", base64(gzipSync("x")).slice(0, -3), "is not base64 encoded"],
    ["base64 of nothing known", base64(new TextEncoder().encode("hello")), "neither gzip data nor"],
    ["cut gzip", base64(gzipSync(Buffer.alloc(100_000)).subarray(0, 60)), "while decompressing"],
    ["a bomb", base64(gzipSync(Buffer.alloc(65 * MEBIBYTE))), "exceeds maximum limit of 64MiB"],
  ])("%s is an error that says so", async (_name, content, text) => {
    expect(await thrower(decodeConfigDrive(content, { nodeUuid: "node", url: "http://host/cd" }))).toThrow(
      text,
    );
    expect(await thrower(decodeConfigDrive(content, { nodeUuid: "node", url: "http://host/cd" }))).toThrow(
      'Downloaded from "http://host/cd"',
    );
  });
});
