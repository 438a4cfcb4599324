// Disks reached over several paths, with sysfs as device-mapper lays it out: hardware 13.24.

import { describe, expect, test } from "bun:test";
import { listBlockDevices } from "../../src/hardware/block-devices.ts";
import { enableMultipath } from "../../src/hardware/multipath.ts";
import { type RecordedFile, type Recording, recordedSystem } from "../support/recorded-system.ts";
import { loadMachine } from "./recording/recording.ts";
import { managersOn } from "./support.ts";

const row = (kname: string, type: string, more: object = {}) => ({
  kname,
  type,
  ...{ model: null, size: 10 * 2 ** 30, rota: true, uuid: null, partuuid: null, serial: null, wwn: null },
  ...{ "log-sec": 512, "phy-sec": 512, tran: null },
  ...more,
});

const partition = (disk: string, name: string): Record<string, RecordedFile> => ({
  [`/sys/class/block/${name}/partition`]: "1\n",
  [`/sys/class/block/${name}`]: { link: `../../devices/x/block/${disk}/${name}` },
  [`/sys/devices/x/block/${disk}/${name}/partition`]: "1\n",
});

const FILES: Record<string, RecordedFile> = {
  "/sys/class/block/dm-0/slaves/sda": { directory: true },
  "/sys/class/block/dm-0/slaves/sdb": { directory: true },
  "/sys/class/block/dm-0/dev": "253:0\n",
  "/run/udev/data/b253:0": "E:DM_SERIAL=0QEMU_QEMU_HARDDISK_MPATH\nE:DM_WWN=0x5000c500a1b2c3d4\n",
  ...partition("sda", "sda1"),
  ...partition("sdc", "sdc1"),
};

const ROWS = [
  row("sda", "disk"),
  row("sda1", "part"),
  row("dm-0", "mpath"),
  row("dm-1", "part"),
  row("sdb", "disk"),
  row("dm-0", "mpath"),
  row("dm-1", "part"),
  row("sdc", "disk"),
  row("sdc1", "part"),
];

function machine(rows: readonly object[], files = FILES): Recording {
  return {
    programs: { udevadm: {}, lsblk: { stdout: JSON.stringify({ blockdevices: rows }) } },
    files,
  };
}

describe("a disk on two paths", () => {
  test("is its map, once, with udev's serial number; its paths are no disks", async () => {
    const system = recordedSystem(machine(ROWS));
    const disks = await listBlockDevices(system);
    expect(disks.map(({ name, serial, wwn }) => [name, serial, wwn])).toEqual([
      ["/dev/dm-0", "0QEMU_QEMU_HARDDISK_MPATH", "0x5000c500a1b2c3d4"],
      ["/dev/sdc", null, null],
    ]);
    // No program per device, however many there are.
    expect(system.calls.map(([program]) => program)).toEqual(["udevadm", "lsblk"]);
    expect(system.records.map(({ message }) => message)).toContain(
      "sdb is a path of the multipath disk dm-0",
    );
  });

  test("has the partitions of its map, not those seen on a path", async () => {
    const devices = await listBlockDevices(recordedSystem(machine(ROWS)), { includePartitions: true });
    expect(devices.map(({ name }) => name)).toEqual(["/dev/dm-0", "/dev/sdc", "/dev/dm-1", "/dev/sdc1"]);
  });

  test("without a map is its paths", async () => {
    const single = ROWS.filter(({ type }) => type === "disk");
    expect((await listBlockDevices(recordedSystem(machine(single, {})))).map(({ name }) => name)).toEqual([
      "/dev/sda",
      "/dev/sdb",
      "/dev/sdc",
    ]);
  });
});

describe("making the maps", () => {
  const calls = async (recording: Recording) => {
    const system = recordedSystem(recording);
    await enableMultipath(system);
    return system.calls.map((argv) => argv.join(" "));
  };
  const PROGRAMS = { multipath: {}, multipathd: {}, modprobe: {} };
  const SDA = { "/sys/class/block/sda/dev": "8:0\n" };

  test("where there is no multipath, nothing is run", async () => {
    expect(await calls({ programs: { modprobe: {} }, files: SDA })).toEqual([]);
  });

  test("driver, tool and daemon, and what they made goes into the log; failures stop nothing", async () => {
    const system = recordedSystem({
      programs: { multipath: { exitCode: 1 }, modprobe: { exitCode: 1 }, multipathd: { exitCode: 1 } },
      files: {
        ...SDA,
        ...{
          "/sys/class/block/dm-0/dm/name": "mpatha\n",
          "/sys/class/block/dm-0/dm/uuid": "mpath-35000c5\n",
        },
        "/sys/class/block/dm-0/slaves/sda": { directory: true },
        "/sys/class/block/dm-0/slaves/sdb": { directory: true },
        ...{ "/sys/class/block/dm-1/dm/name": "root\n", "/sys/class/block/dm-1/dm/uuid": "LVM-x\n" },
      },
    });
    await enableMultipath(system);
    expect(system.calls.map((argv) => argv.join(" "))).toEqual([
      ...["modprobe dm_multipath", "multipath", "multipathd"],
    ]);
    const infos = system.records.filter(({ level }) => level === "INFO").map(({ message }) => message);
    expect(infos).toEqual(["multipath disk mpatha (dm-0) by sda, sdb"]);
  });

  test("no program for what sysfs tells: a driver that is loaded, disks that are no paths", async () => {
    const loaded = { "/sys/module/dm_multipath": { directory: true } } as const;
    expect(await calls({ programs: PROGRAMS, files: { ...SDA, ...loaded } })).toEqual([
      ...["multipath", "multipathd"],
    ]);
    const virtio = { ...loaded, "/sys/class/block/vda/dev": "254:0\n" };
    expect(await calls({ programs: PROGRAMS, files: virtio })).toEqual(["multipathd"]);
    // A configuration may take any device for a path.
    const configured = { ...virtio, "/etc/multipath/conf.d/site.conf": "" };
    expect(await calls({ programs: PROGRAMS, files: configured })).toEqual(["multipath", "multipathd"]);
  });

  test("Red Hat's tool writes the configuration, unless there is one", async () => {
    const programs = { multipath: {}, multipathd: {}, modprobe: {}, "/usr/sbin/mpathconf": {} };
    const files = { "/usr/sbin/mpathconf": "" };
    const [first] = await calls({ programs, files });
    expect(first).toBe(
      "/usr/sbin/mpathconf --enable --find_multipaths yes --with_module y --with_multipathd y",
    );
    const [configured] = await calls({ programs, files: { ...files, "/etc/multipath.conf": "" } });
    expect(configured).toBe("modprobe dm_multipath");
  });
});

// The machine qemu-multipath of recording/machines.ts: one unit by two paths, with a partition, beside a volume group.
test("of the recorded machine the map and its partition stay, and the unit's WWN as a hint chooses the map", async () => {
  const { managers } = managersOn(await loadMachine("qemu-multipath"), { disk_wait_attempts: 0 });
  await managers.load();
  const devices = await managers.dispatch("listBlockDevices", { includePartitions: true });
  const sizes = Object.fromEntries(devices.map(({ name, size }) => [name, size / 2 ** 20]));
  expect(sizes).toEqual({
    ...{ "/dev/dm-1": 8192, "/dev/dm-2": 64 },
    ...{ "/dev/vda": 16, "/dev/vdb": 9216, "/dev/vdc": 16 },
  });
  const choose = async (hints: object) => {
    await managers.node.cache({ uuid: "a", properties: { root_device: { ...hints } } });
    return managers.dispatch("getOsInstallDevice");
  };
  expect(await choose({ wwn: "0x5000c500aabbccdd" })).toBe("/dev/dm-1");
  expect(await choose({ serial: "<in> 5000c500aabbccdd", size: 8 })).toBe("/dev/dm-1");
});
