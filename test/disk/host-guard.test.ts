import { describe, expect, test } from "bun:test";
import { HostGuard } from "../../src/disk/host-guard.ts";
import { DeviceNotFound, HostDiskError } from "../../src/errors.ts";
import { createSystem } from "../../src/system/real.ts";
import { type RecordedFile, recordedSystem } from "../support/recorded-system.ts";
import { rejection, thrower } from "../support/rejection.ts";

/** A block device as sysfs shows it: `parent` for partitions; attributes are files relative to its directory. */
type Device = { number: string; parent?: string; slaves?: string[]; backingFile?: string };

/** Builds the files of a machine: device nodes, sysfs, mountinfo lines (from the "major:minor" on) and swaps. */
function machine(
  devices: Record<string, Device>,
  mounts: string[],
  extra: Record<string, RecordedFile> = {},
) {
  const files: Record<string, RecordedFile> = {
    "/proc/self/mountinfo": mounts.map((line, index) => `${index + 20} 1 ${line}\n`).join(""),
    "/proc/swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
  };
  for (const [name, { number, parent, slaves, backingFile }] of Object.entries(devices)) {
    const [major, minor] = number.split(":").map(Number) as [number, number];
    const directory = parent === undefined ? `/sys/devices/${name}` : `/sys/devices/${parent}/${name}`;
    files[`/dev/${name}`] = { device: { major, minor } };
    files[`/sys/dev/block/${number}`] = { link: directory };
    files[`/sys/class/block/${name}`] = { link: directory };
    files[`${directory}/size`] = "2048\n";
    if (parent !== undefined) files[`${directory}/partition`] = "1\n";
    for (const slave of slaves ?? [])
      files[`${directory}/slaves/${slave}`] = { link: `/sys/devices/${slave}` };
    if (backingFile !== undefined) files[`${directory}/loop/backing_file`] = `${backingFile}\n`;
  }
  return recordedSystem({ files: { ...files, ...extra } });
}

const SDA = { sda: { number: "8:0" }, sda1: { number: "8:1", parent: "sda" }, sdb: { number: "8:16" } };
const RAM_ROOT = "0:1 / / rw - rootfs rootfs rw";
const DISK_ROOT = "8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw";

function guard(system: ReturnType<typeof machine>, allowHostDisks = false) {
  return new HostGuard(system, { allowHostDisks });
}

describe("inRamdisk", () => {
  const cases: [string, boolean, Record<string, Device>, string[], Record<string, RecordedFile>?][] = [
    ["initramfs", true, SDA, [RAM_ROOT]],
    ["tmpfs after switch_root", true, SDA, ["0:30 / / rw - tmpfs tmpfs rw"]],
    ["ext4 on a partition", false, SDA, [DISK_ROOT]],
    ["the root mounted last counts", false, SDA, [RAM_ROOT, DISK_ROOT]],
    ["initrd on a RAM block device", true, { ram0: { number: "1:0" } }, ["1:0 / / rw - ext2 /dev/ram0 rw"]],
    ["NFS root is not a ramdisk", false, SDA, ["0:40 / / rw - nfs4 10.0.0.1:/root rw"]],
    [
      "squashfs on a loop device whose file is in memory",
      true,
      { loop0: { number: "7:0", backingFile: "/run/live/root.squashfs" } },
      ["7:0 / / ro - squashfs /dev/loop0 ro", "0:22 / /run rw - tmpfs tmpfs rw"],
      { "/run/live/root.squashfs": "squashfs" },
    ],
    [
      "squashfs on a loop device whose file is on a disk",
      false,
      { ...SDA, loop0: { number: "7:0", backingFile: "/run/medium/root.squashfs" } },
      ["7:0 / / ro - squashfs /dev/loop0 ro", "8:1 / /run/medium ro - ext4 /dev/sda1 ro"],
      { "/run/medium/root.squashfs": "squashfs" },
    ],
    [
      "live CD: the medium is optical",
      true,
      { sr0: { number: "11:0" }, loop0: { number: "7:0", backingFile: "/run/medium/root.squashfs" } },
      ["7:0 / / ro - squashfs /dev/loop0 ro", "11:0 / /run/medium ro - iso9660 /dev/sr0 ro"],
      { "/run/medium/root.squashfs": "squashfs" },
    ],
    [
      "overlay of a RAM squashfs and a tmpfs",
      true,
      { loop0: { number: "7:0", backingFile: "/run/root.squashfs" } },
      [
        "0:30 / / rw - overlay overlay rw,lowerdir=/run/lower,upperdir=/run/rw/upper,workdir=/run/rw/work",
        "0:22 / /run rw - tmpfs tmpfs rw",
        "7:0 / /run/lower ro - squashfs /dev/loop0 ro",
      ],
      { "/run/root.squashfs": "", "/run/lower/bin": "", "/run/rw/upper/etc": "" },
    ],
    [
      "overlay with a lower directory on a disk",
      false,
      SDA,
      [
        "0:30 / / rw - overlay overlay rw,lowerdir=/mnt/a:/mnt/b,upperdir=/run/upper,workdir=/run/work",
        "0:22 / /run rw - tmpfs tmpfs rw",
        "0:31 / /mnt/a rw - tmpfs tmpfs rw",
        "8:1 / /mnt/b rw - ext4 /dev/sda1 rw",
      ],
      { "/mnt/a/x": "", "/mnt/b/x": "", "/run/upper/x": "" },
    ],
    [
      "container on a disk: its lower directories are not visible, but /etc/hosts comes from the disk",
      false,
      SDA,
      [
        "0:50 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/l/A:/var/lib/docker/l/B,upperdir=/var/lib/docker/u",
        "8:1 /var/hosts /etc/hosts rw - ext4 /dev/sda1 rw",
      ],
    ],
    [
      "container of which nothing visible is on a disk: where its root lies cannot be told",
      false,
      SDA,
      [
        "0:50 / / rw - overlay overlay rw,lowerdir=/var/lib/containers/A,upperdir=/var/lib/containers/u",
        "0:24 /hosts /etc/hosts rw - tmpfs tmpfs rw",
      ],
    ],
    [
      "live image that switched its root, on a kernel that was booted for the agent",
      true,
      SDA,
      ["0:50 / / rw - overlay overlay rw,lowerdir=/live/lower,upperdir=/live/upper"],
      { "/proc/cmdline": "quiet ipa-api-url=http://192.0.2.1:6385 BOOTIF=52-54\n" },
    ],
    [
      "system on a disk whose kernel was booted with the agent's parameters",
      false,
      SDA,
      [DISK_ROOT],
      { "/proc/cmdline": "quiet ipa-api-url=http://192.0.2.1:6385\n" },
    ],
    [
      "container whose host shows a disk in the mounts of its first process only",
      false,
      SDA,
      ["0:50 / / rw - overlay overlay rw,lowerdir=/var/lib/containers/A,upperdir=/var/lib/containers/u"],
      { "/proc/1/mountinfo": `20 1 ${DISK_ROOT}\n` },
    ],
    [
      "device mapper over a disk",
      false,
      { ...SDA, "dm-0": { number: "253:0", slaves: ["sda1"] } },
      ["253:0 / / rw - xfs /dev/mapper/vg-root rw"],
    ],
    [
      "live root: device mapper over a loop device in memory",
      true,
      {
        "dm-0": { number: "253:0", slaves: ["loop1"] },
        loop1: { number: "7:1", backingFile: "/run/rootfs.img" },
      },
      ["253:0 / / rw - ext4 /dev/mapper/live-rw rw", "0:22 / /run rw - tmpfs tmpfs rw"],
      { "/run/rootfs.img": "" },
    ],
  ];
  test.each(cases)("%s: %p", async (_, expected, devices, mounts, extra) => {
    expect(await guard(machine(devices, mounts, extra)).inRamdisk()).toBe(expected);
  });

  test("no root in mountinfo is not taken for a ramdisk when a disk is mounted", async () => {
    const system = machine(SDA, ["8:1 / /mnt rw - ext4 /dev/sda1 rw"]);
    expect(await guard(system).inRamdisk()).toBe(false);
  });
});

describe("protectedDisks", () => {
  test("follows a mount through crypt, LVM, md and partitions to every disk below", async () => {
    const system = machine(
      {
        ...SDA,
        sdb1: { number: "8:17", parent: "sdb" },
        sdc: { number: "8:32" },
        md0: { number: "9:0", slaves: ["sda1", "sdb1"] },
        "dm-0": { number: "253:0", slaves: ["md0"] },
        "dm-1": { number: "253:1", slaves: ["dm-0"] },
      },
      [RAM_ROOT, "253:1 / /data rw - xfs /dev/mapper/vg-data rw"],
    );
    const disks = await guard(system).protectedDisks();
    expect([...disks.keys()].sort()).toEqual(
      ["dm-0", "dm-1", "md0", "sda", "sda1", "sdb", "sdb1"].map((name) => `/dev/${name}`),
    );
    expect(disks.get("/dev/sdb")).toBe("/dev/mapper/vg-data is mounted on /data");
  });

  test("swap space, and the disk under the file of a mounted loop device", async () => {
    const system = machine(
      {
        ...SDA,
        sdb2: { number: "8:18", parent: "sdb" },
        loop0: { number: "7:0", backingFile: "/images/a.img" },
      },
      [RAM_ROOT, "7:0 / /mnt rw - ext4 /dev/loop0 rw", "8:1 / /images rw - ext4 /dev/sda1 rw"],
      {
        "/proc/swaps": "Filename Type Size Used Priority\n/dev/sdb2 partition 1 0 -2\n",
        "/images/a.img": "",
      },
    );
    const disks = await guard(system).protectedDisks();
    expect(disks.get("/dev/sdb")).toBe("/dev/sdb2 is swap space in use");
    expect([...disks.keys()].sort()).toEqual([
      "/dev/loop0",
      "/dev/sda",
      "/dev/sda1",
      "/dev/sdb",
      "/dev/sdb2",
    ]);
  });

  test("btrfs shows an anonymous device: its source and all its members are protected", async () => {
    const system = machine(SDA, [RAM_ROOT, "0:33 /@ /data rw - btrfs /dev/sda1 rw"], {
      "/sys/fs/btrfs/1234/devices/sda1": { link: "/sys/devices/sda/sda1" },
      "/sys/fs/btrfs/1234/devices/sdb": { link: "/sys/devices/sdb" },
    });
    expect([...(await guard(system).protectedDisks()).keys()].sort()).toEqual([
      "/dev/sda",
      "/dev/sda1",
      "/dev/sdb",
    ]);
  });

  test("mount points with blanks are readable in the reason", async () => {
    const system = machine(SDA, [RAM_ROOT, "8:1 / /my\\040disk rw - ext4 /dev/sda1 rw"]);
    expect((await guard(system).protectedDisks()).get("/dev/sda")).toBe("/dev/sda1 is mounted on /my disk");
  });

  test("a ramdisk with nothing mounted protects nothing", async () => {
    expect(await guard(machine(SDA, [RAM_ROOT])).protectedDisks()).toEqual(new Map());
  });
});

describe("assertMayDestroy", () => {
  test("in a ramdisk an unused disk may be written", async () => {
    await guard(machine(SDA, [RAM_ROOT])).assertMayDestroy("/dev/sda");
  });

  test("outside a ramdisk even an unused disk is refused, with the way out", async () => {
    const refusal = guard(machine(SDA, [DISK_ROOT])).assertMayDestroy("/dev/sdb", "write an image to");
    const error = await refusal.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(HostDiskError);
    expect((error as HostDiskError).details).toStartWith(
      "Refused to write an image to /dev/sdb: the agent does not run from a ramdisk " +
        "(its root file system is ext4 on /dev/sda1)",
    );
    expect((error as HostDiskError).details).toContain("--allow-host-disks");
  });

  test("the override permits an unused disk, and only that", async () => {
    const system = machine(SDA, [DISK_ROOT]);
    await guard(system, true).assertMayDestroy("/dev/sdb");
    for (const device of ["/dev/sda", "/dev/sda1"])
      expect(await rejection(guard(system, true).assertMayDestroy(device))).toBeInstanceOf(HostDiskError);
  });

  test("a link to a device is followed", async () => {
    const system = machine(SDA, [DISK_ROOT], { "/dev/disk/by-id/x": { link: "../../sda" } });
    expect(await thrower(guard(system, true).assertMayDestroy("/dev/disk/by-id/x"))).toThrow(
      "/dev/sda1 is mounted on /",
    );
  });

  test("an array with a member on a protected disk is refused", async () => {
    const system = machine({ ...SDA, md0: { number: "9:0", slaves: ["sda1", "sdb"] } }, [
      RAM_ROOT,
      "8:1 / /mnt rw - ext4 /dev/sda1 rw",
    ]);
    expect(await thrower(guard(system).assertMayDestroy("/dev/md0"))).toThrow(
      "/dev/sda1 is in use by the running system",
    );
  });

  test("an unmounted loop device is no danger to the disk its file is on", async () => {
    const system = machine({ ...SDA, loop0: { number: "7:0", backingFile: "/tmp/a.img" } }, [DISK_ROOT], {
      "/tmp/a.img": "",
    });
    await guard(system, true).assertMayDestroy("/dev/loop0");
  });

  test("what is no block device is not found", async () => {
    const system = machine(SDA, [RAM_ROOT], {
      "/dev/null": { device: { major: 1, minor: 3 }, kind: "character" },
      "/etc/passwd": "root",
    });
    for (const path of ["/dev/null", "/etc/passwd", "/dev/nothing"])
      expect(await rejection(guard(system).assertMayDestroy(path))).toBeInstanceOf(DeviceNotFound);
  });
});

test("the disk under the root of the machine the tests run on is protected (read only)", async () => {
  const system = createSystem({ name: "test", debug: false, json: false, file: null, stream: "stderr" });
  const root = (await system.files.readText("/proc/self/mountinfo"))
    .split("\n")
    .filter((line) => / \/ /.test(line));
  const device = root.at(-1)?.split(" - ")[1]?.split(" ")[1] ?? "";
  if (!device.startsWith("/dev/")) return; // a machine without a disk under its root has nothing to protect
  for (const allowHostDisks of [false, true]) {
    const real = new HostGuard(system, { allowHostDisks });
    expect(await real.inRamdisk()).toBe(false);
    expect((await real.protectedDisks()).get(device)).toContain("is mounted on");
    expect(await rejection(real.assertMayDestroy(device))).toBeInstanceOf(HostDiskError);
  }
});
