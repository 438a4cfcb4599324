// Where a config drive's partition comes to lie, in sectors, on disks of the sizes and with the tables that have made trouble before. Sparse
// files on loop devices, sgdisk and parted. Source of the numbers: deploy specification 4.4.

import { describe, expect, test } from "bun:test";
import { writeConfigDrive } from "../../src/disk/config-drive.ts";
import { readPartitionTable } from "../../src/disk/partition-table.ts";
import { DeploymentError } from "../../src/errors.ts";
import { createSystem } from "../../src/system/real.ts";
import { loopDevice, noLoopDevices, tool } from "../support/loop-device.ts";

const SECTOR = 512;
const MEBIBYTE = 1024 ** 2;
const GIBIBYTE = 1024 ** 3;
const system = createSystem({ name: "test", debug: false, json: false, file: "/dev/null", stream: "stderr" });
const { signal } = new AbortController();
const fill = { attempts: 10, signal, rebuild: false };

/** A disk of `size` bytes; sgdisk and parted take a second or more for each call, so all run beside each other. */
function onDisk(name: string, size: number, work: (disk: string) => Promise<void>): void {
  test.concurrent.skipIf(noLoopDevices !== null)(
    name,
    async () => {
      await using disk = await loopDevice(size);
      await work(disk.path);
    },
    120_000,
  );
}

/** An ISO labelled config-2, with `mebibytes` of content. */
async function configDrive(mebibytes = 0): Promise<Uint8Array> {
  await using directory = await system.files.temporaryDirectory("drive-");
  await Bun.write(`${directory.path}/tree/content`, "x".repeat(mebibytes * MEBIBYTE));
  await tool(
    "genisoimage",
    "-quiet",
    "-V",
    "config-2",
    "-o",
    `${directory.path}/iso`,
    `${directory.path}/tree`,
  );
  return await system.files.readBytes(`${directory.path}/iso`, 100 * MEBIBYTE);
}

async function partitionsOf(disk: string) {
  await using device = await system.blockDevices.open(disk, "read-uncached");
  const { partitions } = await readPartitionTable(device);
  return partitions.map(({ number, start, size, type }) => ({
    number,
    first: start / SECTOR,
    last: (start + size) / SECTOR - 1,
    type,
  }));
}

async function added(disk: string, mebibytes = 0) {
  const before = await partitionsOf(disk);
  const path = await writeConfigDrive(system, { disk, nodeUuid: "node" }, await configDrive(mebibytes), fill);
  const after = await partitionsOf(disk);
  // Nobody else's entry has changed.
  for (const old of before) expect(after).toContainEqual(old);
  const fresh = after.filter(({ first }) => before.every((old) => old.first !== first));
  expect(fresh).toHaveLength(1);
  expect(path).toBe(`${disk}p${fresh[0]?.number}`);
  expect(await tool("blkid", "-p", "-o", "value", "-s", "LABEL", path)).toBe("config-2\n");
  return fresh[0];
}

async function refusal(disk: string, mebibytes = 0): Promise<string> {
  const before = await tool("sfdisk", "--dump", disk);
  const content = await configDrive(mebibytes);
  const error = await writeConfigDrive(system, { disk, nodeUuid: "node" }, content, fill).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(DeploymentError);
  expect(await tool("sfdisk", "--dump", disk)).toBe(before);
  return (error as DeploymentError).details;
}

// deploy 11.56
describe("on a GPT disk", () => {
  onDisk("of 10 GiB: the last 65 MiB", 10 * GIBIBYTE, async (disk) => {
    await tool("sgdisk", "-n", "1:1M:+1G", disk);
    expect(await added(disk)).toMatchObject({ first: 20_838_400, last: 20_971_486 });
    expect(await tool("sgdisk", "-v", disk)).toContain("No problems found");
  });

  onDisk("with exactly 64 MiB left: what the content needs", GIBIBYTE, async (disk) => {
    // The last usable sector is 33 before the disk's end.
    const end = GIBIBYTE / SECTOR - 34 - (64 * MEBIBYTE) / SECTOR;
    await tool("sgdisk", "-n", `1:2048:${end}`, disk);
    const made = await added(disk);
    expect(made?.first).toBeGreaterThan(end);
    expect(await tool("sgdisk", "-v", disk)).toContain("No problems found");
  });

  onDisk("without room", 100 * MEBIBYTE, async (disk) => {
    await tool("sgdisk", "-n", "1:0:0", disk);
    expect(await refusal(disk)).toStartWith(
      `Failed to create config drive on disk ${disk} for node node. Error: `,
    );
  });
});

// deploy 11.57; deploy 10, bug 30
describe("on an MBR disk", () => {
  onDisk("of 10 GiB: the last 64 MiB, of type 0C", 10 * GIBIBYTE, async (disk) => {
    await tool("parted", "-s", disk, "mklabel", "msdos", "mkpart", "primary", "ext4", "1MiB", "1GiB");
    expect(await added(disk)).toMatchObject({ first: 20_840_448, last: 20_971_519, type: "0c" });
  });

  onDisk(
    "of 3 TiB: the last 64 MiB that an MBR reaches, and a drive of that size fits",
    3072 * GIBIBYTE,
    async (disk) => {
      await tool("parted", "-s", disk, "mklabel", "msdos", "mkpart", "primary", "ext4", "1MiB", "1GiB");
      const made = await added(disk, 63);
      expect(made?.first).toBe(4_294_834_176);
      expect(made?.last).toBe(4_294_965_247);
      expect(made?.last).toBeLessThan(2 ** 32);
    },
  );

  onDisk("without room at its end, which is said", GIBIBYTE, async (disk) => {
    await tool("parted", "-s", disk, "mklabel", "msdos", "mkpart", "primary", "ext4", "1MiB", "100%");
    expect(await refusal(disk)).toContain(
      "does the image leave room for one behind its last partition? parted ",
    );
  });

  // deploy 11.58
  onDisk("with three primaries and an extended one: the same as with four", GIBIBYTE, async (disk) => {
    const primaries = [1, 20, 40].flatMap((at) => ["mkpart", "primary", `${at}MiB`, `${at + 10}MiB`]);
    const extended = ["mkpart", "extended", "60MiB", "200MiB", "mkpart", "logical", "70MiB", "90MiB"];
    await tool("parted", "-s", disk, "mklabel", "msdos", ...primaries, ...extended);
    expect(await refusal(disk)).toBe(
      `Config drive cannot be created for node node. Disk (${disk}) uses MBR partitioning and already has 4 primary partitions.`,
    );
  });

  // deploy 11.62; deploy 10, bug 27
  onDisk("with formatted swap, which parted's list confuses others by", GIBIBYTE, async (disk) => {
    await tool(
      "parted",
      "-s",
      disk,
      "mklabel",
      "msdos",
      "mkpart",
      "primary",
      "1MiB",
      "60MiB",
      "mkpart",
      "primary",
      "60MiB",
      "90MiB",
    );
    await tool("mkswap", `${disk}p2`);
    expect(await added(disk)).toMatchObject({ number: 3, type: "0c" });
  });
});

// deploy 11.59
describe("a partition labelled config-2 that is there", () => {
  onDisk("in capitals is used, and the table stays as it is", GIBIBYTE, async (disk) => {
    await tool("sgdisk", "-n", "1:1M:+100M", "-n", "2:200M:+64M", disk);
    await tool("partprobe", disk);
    await tool("mkfs.vfat", "-n", "CONFIG-2", `${disk}p2`);
    const before = await tool("sgdisk", "-p", disk);
    const target = { disk, nodeUuid: "node" };
    expect(await writeConfigDrive(system, target, await configDrive(), fill)).toBe(`${disk}p2`);
    expect(await tool("sgdisk", "-p", disk)).toBe(before);
  });

  onDisk("and is too small", GIBIBYTE, async (disk) => {
    await tool("sgdisk", "-n", "1:1M:+2M", disk);
    await tool("partprobe", disk);
    await tool("mkfs.vfat", "-n", "config-2", `${disk}p1`);
    expect(await refusal(disk, 5)).toMatch(
      /Config drive does not fit: it has \d+ bytes, partition \S+p1 has 2097152/,
    );
  });
});
