// Disks that have had a life before: partitions with file systems, a volume group, a software RAID. Made once by the real
// tools and cached; a scenario gets copies. The volume group is made on a loop device, without the device mapper; the array
// needs a kernel with md, so a machine with the ramdisk makes it.

import { mkdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cached, cacheKey } from "../rig/cache.ts";
import { Machine } from "../rig/machine.ts";
import { run } from "../rig/programs.ts";
import type { Ramdisk } from "../rig/ramdisk.ts";

const MIB = 1024 ** 2;
/** Large enough for an agent to deploy to: it waits half a minute for a larger disk otherwise. */
const DISK_MIB = 5 * 1024;
const BOOT_TIMEOUT_MS = 180_000;
const COMMAND_TIMEOUT_MS = 60_000;

/** What is where on the disk with partitions, in MiB. */
const PARTITIONS = { esp: [1, 64], files: [65, 256], volumes: [321, 256] } as const;

export interface LeftoverDisks {
  /** GPT with a FAT, an ext4 and an LVM partition. */
  partitioned: string;
  /** Both halves of a RAID 1 on whole disks, which holds an ext4. */
  mirror: readonly [string, string];
}

/** Byte offsets at which the partitioned disk's file systems and volume group begin. */
export const LEFTOVER_OFFSETS: readonly number[] = Object.values(PARTITIONS).map(([start]) => start * MIB);

/** Copies of the disks in `directory`. */
export async function leftoverDisks(directory: string, ramdisk: Ramdisk): Promise<LeftoverDisks> {
  const key = await cacheKey([], [join(import.meta.dir, "leftovers.ts")]);
  const made = await cached("leftovers", key, {}, async (work) => {
    await makePartitioned(join(work, "partitioned.raw"));
    await makeMirror(work, ramdisk);
  });
  await mkdir(directory, { recursive: true });
  const copy = async (name: string) => {
    await run(["cp", "--sparse=always", join(made, name), join(directory, name)]);
    return join(directory, name);
  };
  return {
    partitioned: await copy("partitioned.raw"),
    mirror: [await copy("mirror-0.raw"), await copy("mirror-1.raw")],
  };
}

async function makePartitioned(file: string): Promise<void> {
  await emptyDisk(file);
  const { esp, files, volumes } = PARTITIONS;
  const partition = (number: number, [start, size]: readonly [number, number], type: string) => [
    ...["--new", `${number}:${start}MiB:+${size}MiB`, "--typecode", `${number}:${type}`],
  ];
  await run([
    ...["sgdisk", "--clear", ...partition(1, esp, "ef00"), ...partition(2, files, "8300")],
    ...[...partition(3, volumes, "8e00"), file],
  ]);
  const fatSectors = (esp[0] * MIB) / 512;
  await run([
    "mkfs.vfat",
    "-F",
    "32",
    "--offset",
    String(fatSectors),
    "-n",
    "OLD-ESP",
    file,
    `${esp[1] * 1024}`,
  ]);
  await run([
    ...["mke2fs", "-q", "-F", "-t", "ext4", "-L", "old-files", "-E", `offset=${files[0] * MIB}`],
    ...[file, `${files[1]}M`],
  ]);
  await makeVolumeGroup(file, volumes[0] * MIB, volumes[1] * MIB);
}

async function makeVolumeGroup(file: string, offset: number, size: number): Promise<void> {
  const { stdout } = await run([
    ...["losetup", "--find", "--show", "--offset", String(offset), "--sizelimit", String(size), file],
  ]);
  const loop = stdout.trim();
  // Nothing but this device, nothing recorded on this machine, and no volume of it is ever activated here.
  const configuration =
    `devices { filter=["a|^${loop}$|","r|.*|"] use_devicesfile=0 } global { use_lvmpolld=0 }` +
    " activation { udev_sync=0 udev_rules=0 monitoring=0 } backup { backup=0 archive=0 }";
  const options = ["--config", configuration, "--driverloaded", "n"];
  try {
    await run(["pvcreate", ...options, loop]);
    await run(["vgcreate", ...options, "old-group", loop]);
    const inactive = ["--activate", "n", "--zero", "n", "--wipesignatures", "n"];
    await run(["lvcreate", ...options, ...inactive, "--name", "old-volume", "--size", "100M", "old-group"]);
  } finally {
    await run(["losetup", "--detach", loop]);
  }
}

async function makeMirror(work: string, ramdisk: Ramdisk): Promise<void> {
  const disks = [0, 1].map((half) => join(work, `mirror-${half}.raw`));
  for (const file of disks) await emptyDisk(file);
  const directory = join(work, "machine");
  {
    await using machine = await Machine.create({
      name: "leftovers",
      directory,
      firmware: "bios",
      memoryMiB: 1536,
      cpus: 2,
      disks: disks.map((file, index) => ({ bus: "virtio" as const, serial: `OLD${index}`, file })),
      nics: [],
    });
    await machine.start({ ...ramdisk, cmdline: "console=ttyS0 rig.shell=1" });
    await machine.waitForConsole(/rig: .*starting the agent/, { timeout: BOOT_TIMEOUT_MS });
    const array = "/dev/md/old";
    for (const command of [
      `mdadm --create ${array} --run --level=1 --raid-devices=2 --assume-clean /dev/vda /dev/vdb`,
      `mke2fs -q -t ext4 -L old-mirror ${array}`,
      `mdadm --stop ${array}`,
      "sync",
    ]) {
      await machine.shell(command, COMMAND_TIMEOUT_MS);
    }
  }
  await run(["rm", "-r", directory]);
}

async function emptyDisk(file: string): Promise<void> {
  await writeFile(file, "");
  await truncate(file, DISK_MIB * MIB);
}
