// The mirror of the EFI system partitions below a software RAID: what is run, in which order. That machines boot from it with either
// disk gone is seen by `npm run demo -- --uefi --raid 1`.

import { expect, test } from "bun:test";
import { espArray, fillEspArray } from "../../src/disk/esp-array.ts";
import { RaidMachine } from "../steps/raid-machine.ts";
import { recordedSystem } from "../support/recorded-system.ts";

const { signal } = new AbortController();
const MEMBERS = ["vda", "vdb"].map((name) => ({ disk: `/dev/${name}`, number: 2, path: `/dev/${name}2` }));

// hardware 13.87, deploy 11.81
test("is made with its superblock at the end, and found again by its members", async () => {
  const system = recordedSystem({ programs: { mdadm: {}, udevadm: {} } });
  expect(await espArray(system, MEMBERS, signal)).toBe("/dev/md0");
  expect(system.calls.map((argv) => argv.join(" "))).toEqual([
    "mdadm --create /dev/md0 --force --run --metadata=1.0 --level 1 --name esp --raid-devices 2 /dev/vda2 /dev/vdb2",
    "udevadm settle",
  ]);

  const machine = new RaidMachine(["vda", "vdb"]);
  for (const disk of ["vda", "vda", "vdb", "vdb"]) machine.addPartition(disk);
  machine.addArray("md0", ["vda1", "vdb1"], "node:root");
  machine.addArray("md127", ["vda2", "vdb2"], "node:esp");
  expect(await espArray(machine.system, MEMBERS, signal)).toBe("/dev/md127");
});

test("that lacks a disk which was replaced is made again on all of them", async () => {
  const machine = new RaidMachine(["vda", "vdb"]);
  for (const disk of ["vda", "vda", "vdb", "vdb"]) machine.addPartition(disk);
  machine.addArray("md0", ["vda1", "vdb1"], "node:root");
  machine.addArray("md127", ["vda2"], "node:esp");
  await espArray(machine.system, MEMBERS, signal);
  const calls = machine.system.calls.map((argv) => argv.join(" "));
  const changes = calls.filter((call) => /--(stop|zero-superblock|create)/.test(call));
  expect(changes.map((call) => call.replace(/ --force .*raid-devices/, " …"))).toEqual([
    "mdadm --stop /dev/md127",
    "mdadm --zero-superblock /dev/vda2",
    expect.stringMatching(/^mdadm --create \/dev\/md\d+ … 2 \/dev\/vda2 \/dev\/vdb2$/) as never,
  ]);
});

// hardware 13.87, deploy 11.81
test("gets label, UUID and files of the image's ESP, which is wiped then", async () => {
  const system = recordedSystem({
    programs: {
      blkid: { stdout: "DEVNAME=/dev/md0p2\nUUID=1A2B-3C4D\nLABEL=EFI\nTYPE=vfat\n" },
      ...{ mkfs: {}, mount: {}, umount: {}, cp: {}, wipefs: {} },
    },
  });
  await fillEspArray(system, "/dev/md127", "/dev/md0p2", signal);
  const calls = system.calls.map((argv) => argv.join(" ").replaceAll(/\/\S*ironic-agent-mount-\S*/g, "DIR"));
  expect(calls.filter((call) => !call.startsWith("blkid"))).toEqual([
    "mkfs -t vfat -n EFI -i 1A2B3C4D /dev/md127",
    "mount -t vfat -o ro,nodev,nosuid,noexec /dev/md0p2 DIR",
    "mount -t vfat -o rw,nodev,nosuid,noexec /dev/md127 DIR",
    "cp -rT DIR DIR",
    "umount DIR",
    "umount DIR",
    "wipefs --force --all /dev/md0p2",
  ]);
});
