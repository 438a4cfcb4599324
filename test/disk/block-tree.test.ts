// The disk of a partition: hardware 13.26. The reference cuts the name; here the kernel is asked, who alone knows that nvme0n1 is
// no partition of nvme0n.

import { expect, test } from "bun:test";
import { diskOfPartition } from "../../src/disk/block-tree.ts";
import { type RecordedFile, recordedSystem } from "../support/recorded-system.ts";

/** A device as sysfs has it, below the disk it is on. */
function device(name: string, disk?: string): Record<string, RecordedFile> {
  const path = disk === undefined ? name : `${disk}/${name}`;
  return {
    [`/sys/class/block/${name}`]: { link: `../../devices/virtual/block/${path}` },
    [`/sys/devices/virtual/block/${path}/size`]: "8\n",
    ...(disk === undefined ? {} : { [`/sys/devices/virtual/block/${path}/partition`]: "1\n" }),
  };
}

const system = recordedSystem({
  files: {
    ...device("sda"),
    ...device("sda1", "sda"),
    ...device("nvme0n1"),
    ...device("nvme0n1p2", "nvme0n1"),
    ...device("md0"),
    ...device("md0p1", "md0"),
    ...device("cciss!c0d0"),
    ...device("cciss!c0d0p1", "cciss!c0d0"),
  },
});

test("is what sysfs has it below; a whole device has none, whatever its name ends with", async () => {
  const disks: Record<string, string | null> = {};
  for (const name of ["sda1", "nvme0n1p2", "md0p1", "cciss!c0d0p1", "sda", "nvme0n1", "md0", "sdz1"])
    disks[name] = await diskOfPartition(system, name);
  expect(disks).toEqual({
    sda1: "sda",
    nvme0n1p2: "nvme0n1",
    md0p1: "md0",
    "cciss!c0d0p1": "cciss!c0d0",
    sda: null,
    nvme0n1: null,
    md0: null,
    sdz1: null,
  });
});
