// The node of a partition by disk and number: deploy 11.51. The kernel is asked, never a rule of names: what is a partition of what
// stands in sysfs, and for a multipath map in the UUIDs of the maps on it.

import { expect, test } from "bun:test";
import { partitionPath } from "../../src/disk/partitions.ts";
import { type RecordedFile, recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";

const { signal } = new AbortController();
let minors = 0;

/** A disk with its node and, as sysfs has them, its partitions by number. */
function disk(name: string, partitions: Record<number, string> = {}): Record<string, RecordedFile> {
  minors += 1;
  const directory = `/sys/devices/${name}`;
  const files: Record<string, RecordedFile> = {
    [`/dev/${name}`]: { device: { major: 8, minor: minors } },
    [`/sys/dev/block/8:${minors}`]: { link: directory },
    [`/sys/class/block/${name}`]: { link: directory },
    [`${directory}/size`]: "1",
  };
  for (const [number, partition] of Object.entries(partitions)) {
    minors += 1;
    files[`${directory}/${partition}/partition`] = number;
    files[`/dev/${partition}`] = { device: { major: 8, minor: minors } };
  }
  return files;
}

const system = recordedSystem({
  files: {
    ...disk("sda", { 1: "sda1", 12: "sda12" }),
    ...disk("nvme0n1", { 1: "nvme0n1p1" }),
    ...disk("mmcblk0", { 2: "mmcblk0p2" }),
    ...disk("md0", { 3: "md0p3" }),
    ...disk("loop0", { 1: "loop0p1" }),
    // A map on a disk's paths, and the maps of two of its partitions: their numbers say nothing of which is which.
    ...disk("dm-0"),
    ...disk("dm-1"),
    ...disk("dm-2"),
    "/sys/devices/dm-0/dm/uuid": "mpath-3600a0b80",
    "/sys/devices/dm-1/dm/uuid": "part2-mpath-3600a0b80",
    "/sys/devices/dm-2/dm/uuid": "part1-mpath-3600a0b80",
    "/sys/devices/dm-0/holders/dm-1/x": "",
    "/sys/devices/dm-0/holders/dm-2/x": "",
    "/dev/disk/by-path/pci-0000:00:1f.2-ata-1": { link: "../../sda" },
    "/dev/mapper/mpatha": { link: "../dm-0" },
  },
});

test.each([
  ["/dev/sda", 1, "/dev/sda1"],
  ["/dev/sda", 12, "/dev/sda12"],
  ["/dev/nvme0n1", 1, "/dev/nvme0n1p1"],
  ["/dev/mmcblk0", 2, "/dev/mmcblk0p2"],
  ["/dev/md0", 3, "/dev/md0p3"],
  ["/dev/loop0", 1, "/dev/loop0p1"],
  ["/dev/disk/by-path/pci-0000:00:1f.2-ata-1", 1, "/dev/sda1"],
  ["/dev/dm-0", 1, "/dev/dm-2"],
  ["/dev/mapper/mpatha", 2, "/dev/dm-1"],
])("%s, partition %d is %s", async (path, number, expected) => {
  expect(await partitionPath(system, path, number, signal)).toBe(expected);
});

test("one that does not appear is an error after 15 s, naming disk and number", async () => {
  const error = await rejection(partitionPath(system, "/dev/md0", 1, signal));
  expect(error).toMatchObject({ type: "DeviceNotFound" });
  expect(String((error as { details?: string }).details)).toContain("Partition 1 of /dev/md0");
  expect(system.sleeps.reduce((sum, seconds) => sum + seconds, 0)).toBeGreaterThanOrEqual(14);
});
