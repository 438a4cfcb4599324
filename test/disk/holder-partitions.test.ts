// The boot partitions of a software RAID's disks, on loop devices laid out as the RAID steps lay them out.

import { expect, test } from "bun:test";
import { firstGap, holderPartitions } from "../../src/disk/holder-partitions.ts";
import { readPartitionTable } from "../../src/disk/partition-table.ts";
import { createSystem } from "../../src/system/real.ts";
import { loopDevice, noLoopDevices, tool } from "../support/loop-device.ts";
import { rejection } from "../support/rejection.ts";

const MEBIBYTE = 1024 * 1024;
const system = createSystem({ name: "test", debug: false, json: false, file: "/dev/null", stream: "stderr" });
const options = { attempts: 3, signal: new AbortController().signal };

test("the first free block that is large enough, in MiB", () => {
  const at = (start: number, size: number) => ({ start: start * MEBIBYTE, size: size * MEBIBYTE });
  expect(firstGap([], 100 * MEBIBYTE, 98)).toBe(1);
  expect(firstGap([], 100 * MEBIBYTE, 99)).toBeNull();
  expect(firstGap([at(551, 1000)], 3000 * MEBIBYTE, 550)).toBe(1);
  expect(firstGap([at(8, 100), at(1, 3)], 3000 * MEBIBYTE, 4)).toBe(4);
  expect(firstGap([at(8, 100), at(1, 3)], 3000 * MEBIBYTE, 5)).toBe(108);
});

test.skipIf(noLoopDevices !== null)(
  "deploy 11.80, 11.81: one on each disk in the room in front, used again by the next deployment",
  async () => {
    await using one = await loopDevice(1024 * MEBIBYTE);
    await using two = await loopDevice(1024 * MEBIBYTE);
    const holders = [one.path, two.path];
    for (const disk of holders)
      await tool("parted", "-s", disk, "--", "mklabel", "gpt", "mkpart", "primary", "551MiB", "-1");
    const made = await holderPartitions(system, holders, "esp", options);
    expect(made).toEqual(holders.map((disk) => ({ disk, number: 2, path: `${disk}p2` })));
    for (const [index, disk] of holders.entries()) {
      await using device = await system.blockDevices.open(disk, "read");
      const { partitions } = await readPartitionTable(device);
      expect(partitions.find(({ number }) => number === 2)).toMatchObject({
        name: `uefi-holder-${index}`,
        start: MEBIBYTE,
        size: 550 * MEBIBYTE,
        type: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
      });
    }
    expect(await holderPartitions(system, holders, "esp", options)).toEqual(made);
    // Nothing is left in front: two more MiB are not there.
    const error = await rejection(holderPartitions(system, [one.path], "bios", options));
    expect(String(error)).toContain(`There is no room of 2 MiB on ${one.path}`);
  },
  60_000,
);

test.skipIf(noLoopDevices !== null)("an msdos table needs no BIOS boot partition", async () => {
  await using disk = await loopDevice(64 * MEBIBYTE);
  await tool("parted", "-s", disk.path, "mklabel", "msdos");
  expect(await holderPartitions(system, [disk.path], "bios", options)).toEqual([]);
});
