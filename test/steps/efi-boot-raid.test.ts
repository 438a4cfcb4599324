// The second install_bootloader on a software RAID: the first one has moved the content of the image's EFI system partition to the mirror
// and left nothing behind. Tables by sgdisk on files; mdadm answers as RaidMachine has it. deploy 11.81; deploy 8.4

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { Config } from "../../src/config/config.ts";
import { Deployment } from "../../src/steps/deployment.ts";
import { setUpEfiBoot } from "../../src/steps/efi-boot.ts";
import { realBlockDevices } from "../../src/system/block-device.ts";
import type { System } from "../../src/system/system.ts";
import { tool } from "../support/loop-device.ts";
import { RaidMachine } from "./raid-machine.ts";

const BOOT_ENTRIES = await Bun.file(`${import.meta.dir}/../fixtures/efibootmgr/ovmf.txt`).text();
/** sgdisk's words for the tables: the disks as RAID creation and the first call left them, the array as the image has it. */
const MEMBER = (index: number) =>
  `-n 1:551M:0 -t 1:fd00 -n 2:1M:+550M -t 2:ef00 -c 2:uefi-holder-${index}`.split(" ");
const TABLES = { vda: MEMBER(0), vdb: MEMBER(1), md0: "-n 1:1M:+100M -t 1:ef00 -n 2:200M:0".split(" ") };
const ESP_NODE = "/sys/devices/virtual/md0/md0p1";
let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/efi-raid-`);
  await Promise.all(
    Object.entries(TABLES).map(async ([name, words]) => {
      await tool("truncate", "--size=2G", `${directory}/${name}`);
      await tool("sgdisk", ...words, `${directory}/${name}`);
    }),
  );
}, 60_000);

afterAll(() => rm(directory, { recursive: true }));

/** The programs that were run, questions aside. `types` says what blkid finds on which device. */
async function setUp(types: Readonly<Record<string, string>>): Promise<string[]> {
  const machine = new RaidMachine(["vda", "vdb"], {
    "/dev/md0p1": { device: { major: 9, minor: 1 } },
    "/sys/dev/block/9:1": { link: `../../..${ESP_NODE}` },
    "/sys/class/block/md0p1": { link: `../../..${ESP_NODE}` },
    [`${ESP_NODE}/partition`]: "1\n",
    "/sys/firmware/efi/efivars/BootOrder-x": "",
    "/esp/EFI/BOOT/BOOTX64.EFI": "a loader",
  });
  for (const disk of ["vda", "vda", "vdb", "vdb"]) machine.addPartition(disk);
  machine.addArray("md0", ["vda1", "vdb1"], "node:root");
  machine.addArray("md127", ["vda2", "vdb2"], "node:esp");
  const lines: string[] = [];
  const done = (stdout = "", exitCode = 0) => ({ exitCode, stdout, stderr: "" });
  const system: System = {
    ...machine.system,
    architecture: "x64",
    run: async (argv, options) => {
      const line = argv.join(" ");
      if (line === "efibootmgr -v") return done(BOOT_ENTRIES);
      if (argv[0] === "blkid") {
        const type = types[argv.at(-1) ?? ""];
        return type === undefined ? done("", 2) : done(`TYPE=${type}\nUUID=1A2B-3C4D\n`);
      }
      if (!/^(?:mkfs|wipefs|cp|efibootmgr -v -c|mount)/.test(line))
        return argv[0] === "efibootmgr" || argv[0] === "umount" ? done() : machine.system.run(argv, options);
      lines.push(line);
      return done();
    },
    files: {
      ...machine.system.files,
      temporaryMountPoint: async () => ({ path: "/esp", [Symbol.asyncDispose]: async () => {} }),
    },
    blockDevices: { open: (path, mode) => realBlockDevices.open(path.replace("/dev", directory), mode) },
  };
  const context = {
    ...{ system, config: Config.of({}), signal: new AbortController().signal, deployment: new Deployment() },
    installDevice: async () => "/dev/md0",
  };
  expect(await setUpEfiBoot(context, "/dev/md0", null)).toBe(true);
  return lines;
}

const ENTRIES = [1, 0].map(
  (index) =>
    `efibootmgr -v -c -d /dev/vd${"ab"[index]} -p 2 -w -L ironic1 (RAID, part${index}) -l \\EFI\\BOOT\\BOOTX64.EFI`,
);

test("the first call moves the image's files to the mirror", async () => {
  expect(await setUp({ "/dev/md0p1": "vfat", "/dev/md127": "vfat" })).toEqual([
    "mount -t vfat -o ro,nodev,nosuid,noexec /dev/md0p1 /esp",
    "mkfs -t vfat -n esp -i 1A2B3C4D /dev/md127",
    "mount -t vfat -o ro,nodev,nosuid,noexec /dev/md0p1 /esp",
    "mount -t vfat -o rw,nodev,nosuid,noexec /dev/md127 /esp",
    "cp -rT /esp /esp",
    "wipefs --force --all /dev/md0p1",
    ...ENTRIES,
  ]);
});

test("the second call finds them there, and only makes the boot entries again", async () => {
  expect(await setUp({ "/dev/md127": "vfat" })).toEqual([
    "mount -t vfat -o ro,nodev,nosuid,noexec /dev/md127 /esp",
    ...ENTRIES,
  ]);
});
