import { describe, expect, test } from "bun:test";
import { Config } from "../../src/config/config.ts";
import { recognize } from "../../src/disk/special-file-systems.ts";
import {
  BlockDeviceEraseError,
  BlockDeviceError,
  HostDiskError,
  ProtectedDeviceError,
} from "../../src/errors.ts";
import type { JsonObject } from "../../src/json.ts";
import type { Progress } from "../../src/progress.ts";
import type { EraseContext } from "../../src/steps/erase-guards.ts";
import { eraseMetadata } from "../../src/steps/erase-metadata.ts";
import type { BlockDevice } from "../../src/system/block-device.ts";
import { ProgramMissingError } from "../../src/system/programs.ts";
import { createSystem } from "../../src/system/real.ts";
import type { System } from "../../src/system/system.ts";
import { loopDevice, noLoopDevices, tool } from "../support/loop-device.ts";
import { type RecordedFile, type RecordedProgram, recordedSystem } from "../support/recorded-system.ts";
import { rejection, thrower } from "../support/rejection.ts";

const RAMDISK: Record<string, RecordedFile> = {
  "/proc/self/mountinfo": "1 1 0:2 / / rw - rootfs rootfs rw\n",
  "/proc/swaps": "Filename\n",
};
const IDENTIFIERS = "lsblk -bia --json -oUUID,PTUUID,PARTTYPE,PARTUUID,FSTYPE";
const NOTHING_SPECIAL = { stdout: '{"blockdevices": [{"uuid": null, "fstype": null}]}' };

/** A ramdisk with the given disks, on which every tool works and every write is counted. */
function machine(
  devices: readonly string[],
  programs: Record<string, RecordedProgram> = {},
  files: Record<string, RecordedFile> = {},
) {
  const nodes: Record<string, RecordedFile> = {};
  for (const [minor, device] of devices.entries()) {
    const name = device.slice("/dev/".length);
    nodes[device] = { device: { major: 8, minor } };
    nodes[`/sys/dev/block/8:${minor}`] = { link: `../../devices/${name}` };
    nodes[`/sys/class/block/${name}`] = { link: `../../devices/${name}` };
    nodes[`/sys/devices/${name}/size`] = "8192\n";
  }
  const tools: Record<string, RecordedProgram> = { wipefs: {}, sgdisk: {}, fuser: { exitCode: 1 } };
  const answers: Record<string, RecordedProgram> = {};
  for (const device of devices) {
    answers[`lsblk --fs --noheadings ${device}`] = { stdout: "sda\n" };
    answers[`${IDENTIFIERS} ${device}`] = NOTHING_SPECIAL;
  }
  const recorded = recordedSystem({
    files: { ...RAMDISK, ...nodes, ...files },
    programs: { ...tools, ...answers, ...programs },
  });
  const written: string[] = [];
  const open = async (path: string): Promise<BlockDevice> => ({
    path,
    size: 4 * 2 ** 20,
    sectorSize: 512,
    read: async () => 0,
    write: async (bytes, offset) => {
      written.push(`${path} ${offset}+${bytes.length}`);
    },
    flush: async () => {},
    [Symbol.asyncDispose]: async () => {},
  });
  return { system: { ...recorded, blockDevices: { open } }, recorded, written };
}

function context(system: System, node: JsonObject = {}, values = {}): EraseContext & { reports: Progress[] } {
  const reports: Progress[] = [];
  return {
    system,
    node,
    config: Config.of(values),
    signal: new AbortController().signal,
    report: (progress) => reports.push(progress),
    reports,
  };
}

/** The devices that wipefs was run on, in order. */
function wiped(recorded: { calls: readonly (readonly string[])[] }): string[] {
  return recorded.calls.filter(([program]) => program === "wipefs").map((argv) => argv.at(-1) ?? "");
}

const DISKS = [
  "/dev/sda",
  "/dev/sda1",
  "/dev/sda2",
  "/dev/sdb",
  "/dev/md0",
  "/dev/nvme0n1",
  "/dev/nvme0n1p2",
];

// hardware 13.66; 13.67 in bytes: the tables are zeroed without dd
test("partitions go before their disks: names in descending order", async () => {
  const { system, recorded, written } = machine(DISKS);
  const { reports, ...given } = context(system);
  await eraseMetadata(given, DISKS);
  expect(wiped(recorded)).toEqual([
    ...["/dev/sdb", "/dev/sda2", "/dev/sda1", "/dev/sda", "/dev/nvme0n1p2", "/dev/nvme0n1", "/dev/md0"],
  ]);
  // The tables at the start (34 sectors) and at the end (33) of 4 MiB.
  expect(written.slice(0, 2)).toEqual(["/dev/sdb 0+17408", "/dev/sdb 4177408+16896"]);
  expect(reports.map(({ done, total }) => `${done}/${total}`)).toEqual([
    "0/7",
    "1/7",
    "2/7",
    "3/7",
    "4/7",
    "5/7",
    "6/7",
  ]);
});

describe("left alone are", () => {
  test("members of arrays, also when nobody can tell", async () => {
    const { system, recorded } = machine(["/dev/md0", "/dev/sda", "/dev/sdb", "/dev/sdc"], {
      "lsblk --fs --noheadings /dev/sda": { stdout: "sda\n└─sda1 linux_raid_member 1.2 md0\n" },
      "lsblk --fs --noheadings /dev/sdb": { exitCode: 32 },
    });
    await eraseMetadata(context(system), ["/dev/md0", "/dev/sda", "/dev/sdb", "/dev/sdc"]);
    expect(wiped(recorded)).toEqual(["/dev/sdc", "/dev/md0"]);
  });

  test("read-only devices and partitions of read-only disks", async () => {
    const { system, recorded } = machine(
      ["/dev/sda", "/dev/sdb"],
      {},
      {
        "/sys/devices/sda/ro": "1\n",
        "/sys/devices/sdb/ro": "0\n",
        "/sys/class/block/sda1": { link: "../../devices/sda/sda1" },
        "/sys/devices/sda/sda1/partition": "1\n",
        "/sys/devices/sda/sda1/ro": "0\n",
      },
    );
    await eraseMetadata(context(system), ["/dev/sda", "/dev/sda1", "/dev/sdb"]);
    expect(wiped(recorded)).toEqual(["/dev/sdb"]);
  });

  test("the virtual floppy", async () => {
    const { system, recorded } = machine(
      ["/dev/sda", "/dev/sdb"],
      {},
      {
        "/dev/disk/by-label/ir-vfd-dev": { link: "../../sda" },
      },
    );
    await eraseMetadata(context(system), ["/dev/sda", "/dev/sdb"]);
    expect(wiped(recorded)).toEqual(["/dev/sdb"]);
  });
});

describe("refused before anything is written is", () => {
  const shared = {
    [`${IDENTIFIERS} /dev/sda`]: { stdout: '{"blockdevices": [{"fstype": null}, {"fstype": "gfs2"}]}' },
  };
  const two = ["/dev/sda", "/dev/sdb"];

  test("everything, when one disk holds a shared file system", async () => {
    const { system, recorded, written } = machine(two, shared);
    const erased = eraseMetadata(context(system), two);
    expect(await rejection(erased)).toBeInstanceOf(ProtectedDeviceError);
    expect(await thrower(erased)).toThrow(/Red Hat Global File System 2 located on device \/dev\/sda/);
    expect([wiped(recorded), written]).toEqual([[], []]);
  });

  test("unless the option or the node's flag says otherwise", async () => {
    const off = machine(two, shared);
    await eraseMetadata(context(off.system, {}, { guard_special_filesystems: false }), two);
    expect(wiped(off.recorded)).toHaveLength(2);
    const flagged = machine(two, shared);
    const node = (flag: boolean) => ({ driver_internal_info: { wipe_special_filesystems: flag } });
    await eraseMetadata(context(flagged.system, node(false)), two);
    expect(wiped(flagged.recorded)).toHaveLength(2);
    expect(await thrower(eraseMetadata(context(machine(two, shared).system, node(true)), two))).toThrow(
      /gfs2|Global/,
    );
  });

  test("everything outside a ramdisk, and everything when one disk is mounted", async () => {
    const onDisk = "1 1 8:0 / / rw - ext4 /dev/sda rw\n";
    const host = machine(two, {}, { "/proc/self/mountinfo": onDisk });
    expect(await rejection(eraseMetadata(context(host.system), ["/dev/sdb"]))).toBeInstanceOf(HostDiskError);
    const mounted = machine(
      two,
      {},
      {
        "/proc/self/mountinfo": `${RAMDISK["/proc/self/mountinfo"]}2 1 8:0 / /mnt rw - ext4 /dev/sda rw\n`,
      },
    );
    expect(await thrower(eraseMetadata(context(mounted.system), two))).toThrow(
      /\/dev\/sda is mounted on \/mnt/,
    );
    expect([wiped(host.recorded), wiped(mounted.recorded)]).toEqual([[], []]);
  });
});

test("shared file systems are known by partition type, in any case, on any row", () => {
  const rows = (row: JsonObject) => recognize([{ parttype: null }, row]);
  expect(rows({ parttype: "aa31e02a-400f-11db-9590-000c2911d1b8" })).toContain("VMware");
  expect(rows({ parttype: "AA31E02A-400F-11DB-9590-000C2911D1B8" })).toContain("VMware");
  expect(rows({ parttype: "0xfb" })).toContain("VMware");
  expect(rows({ uuid: "37affc90-ef7d-4e96-91c3-2d7ae055b174" })).toContain("IBM");
  expect(rows({ fstype: "GFS2" })).toContain("Red Hat");
  expect(rows({ uuid: "gfs2", fstype: "ext4", parttype: "0x83" })).toBeNull();
});

describe("failures", () => {
  // hardware 13.68
  test("wipefs without --force is tried when that is what fails", async () => {
    const { system, recorded } = machine(["/dev/sda"], { "wipefs --force --all /dev/sda": { exitCode: 1 } });
    await eraseMetadata(context(system), ["/dev/sda"]);
    expect(recorded.calls.filter(([program]) => program === "wipefs")).toEqual([
      ["wipefs", "--force", "--all", "/dev/sda"],
      ["wipefs", "--all", "/dev/sda"],
    ]);
  });

  test("of single devices do not spare the others, and all are named at the end", async () => {
    const { system, recorded } = machine(["/dev/sda", "/dev/sdb", "/dev/sdc"], {
      "sgdisk -Z /dev/sdc": { exitCode: 2, stderr: "input/output error" },
      "wipefs --force --all /dev/sdb": { exitCode: 1 },
      "wipefs --all /dev/sdb": { exitCode: 1, stderr: "probing failed" },
    });
    const erased = eraseMetadata(context(system), ["/dev/sda", "/dev/sdb", "/dev/sdc"]);
    expect(await rejection(erased)).toBeInstanceOf(BlockDeviceEraseError);
    expect(await thrower(erased)).toThrow(
      /"\/dev\/sdc": .*input\/output error; "\/dev\/sdb": .*probing failed/,
    );
    expect(wiped(recorded)).toContain("/dev/sda");
  });

  // hardware 13.69
  test("a device in use is waited for, and then an error with the processes", async () => {
    let busy = 3;
    const patient = machine(["/dev/sda"], {
      fuser: () => (busy-- > 0 ? { stdout: " 123 456", stderr: "/dev/sda:  " } : { exitCode: 1 }),
    });
    await eraseMetadata(context(patient.system), ["/dev/sda"]);
    expect(patient.recorded.sleeps).toEqual([1, 1, 1]);

    // As busybox prints it.
    const stuck = machine(["/dev/sda"], { fuser: { stdout: "123 456\n" } });
    const erased = eraseMetadata(context(stuck.system), ["/dev/sda"]);
    expect(await rejection(erased)).toBeInstanceOf(BlockDeviceError);
    expect(await thrower(erased)).toThrow(
      "/dev/sda is still in use after 20 attempts, 1 s apart: by the processes 123, 456",
    );
    expect(stuck.recorded.sleeps).toHaveLength(19);
  });

  test("without fuser nobody is waited for", async () => {
    const without = machine(["/dev/sda"], {
      fuser: () => {
        throw new ProgramMissingError("fuser", "not found in PATH");
      },
    });
    await eraseMetadata(context(without.system), ["/dev/sda"]);
    expect(wiped(without.recorded)).toContain("/dev/sda");
    expect(without.recorded.records.some(({ message }) => message.includes("fuser (psmisc)"))).toBe(true);
  });

  test("what fuser says of processes it may not see is not about the device; other complaints are", async () => {
    const blind = machine(["/dev/sda"], {
      fuser: { exitCode: 1, stderr: "Cannot stat file /proc/1/fd/0: Permission denied\n" },
    });
    await eraseMetadata(context(blind.system), ["/dev/sda"]);
    expect(blind.recorded.sleeps).toEqual([]);
    const broken = machine(["/dev/sda"], {
      fuser: { exitCode: 1, stderr: "Specified filename does not exist.\n" },
    });
    expect(await thrower(eraseMetadata(context(broken.system), ["/dev/sda"]))).toThrow(
      /filename does not exist/,
    );
  });

  test("an aborted step ends with the abort, not with a list of failures", async () => {
    const abort = new AbortController();
    const { system, recorded } = machine(["/dev/sda", "/dev/sdb"], {
      sgdisk: () => {
        abort.abort(new Error("told to end"));
        return { exitCode: 1 };
      },
    });
    expect(
      await thrower(eraseMetadata({ ...context(system), signal: abort.signal }, ["/dev/sda", "/dev/sdb"])),
    ).toThrow("told to end");
    expect(wiped(recorded)).toEqual(["/dev/sdb"]);
  });
});

describe.skipIf(noLoopDevices !== null)("on a real disk", () => {
  test("nothing recognisable is left of partitions, file systems and tables", async () => {
    await using disk = await loopDevice(64 * 2 ** 20);
    await tool("sgdisk", "-n", "1:0:+20M", "-n", "2:0:0", disk.path);
    await tool("partx", "--update", disk.path);
    await tool("mkfs.ext4", "-q", `${disk.path}p1`);
    await tool("mkswap", `${disk.path}p2`);
    expect(await tool("wipefs", "--noheadings", disk.path)).toContain("gpt");
    const system = createSystem({
      name: "test",
      debug: false,
      json: false,
      file: "/dev/null",
      stream: "stderr",
    });
    // Partitions as the kernel has them: after the erase they are gone.
    const devices = [disk.path, `${disk.path}p1`, `${disk.path}p2`];
    await eraseMetadata(context(system, {}, { allow_host_disks: true }), devices);
    expect(await tool("wipefs", "--noheadings", disk.path)).toBe("");
    const bytes = async (from: number, to: number) => Bun.file(disk.backingFile).slice(from, to).bytes();
    const blank = async (from: number, to: number) => (await bytes(from, to)).every((byte) => byte === 0);
    expect(await blank(0, 17_408)).toBe(true);
    expect(await blank(disk.size - 16_896, disk.size)).toBe(true);
    // The first partition's file system: its superblock is 1 KiB into it.
    expect(await blank(1024 * 1024, 1024 * 1024 + 17_408)).toBe(true);
    // sgdisk sleeps a second per call.
  }, 60_000);
});
