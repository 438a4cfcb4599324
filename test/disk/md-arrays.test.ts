import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { listArrays, readArray, warnIfDegraded } from "../../src/disk/md-arrays.ts";
import { parseSyncCompleted, readSync, waitForSync } from "../../src/disk/md-sync.ts";
import type { Progress } from "../../src/progress.ts";
import { loadMachine } from "../hardware/recording/recording.ts";
import { RaidMachine } from "../steps/raid-machine.ts";
import { type RecordedFile, recordedSystem } from "../support/recorded-system.ts";
import { recordedOutput } from "./recording/sessions.ts";

const signal = new AbortController().signal;

describe("the list of arrays", () => {
  // hardware 13.82
  test("has those that never started, not their partitions, and not what is left of one that was stopped", async () => {
    const array = (name: string, state: string): Record<string, RecordedFile> => ({
      [`/sys/class/block/${name}/md/array_state`]: `${state}\n`,
    });
    const system = recordedSystem({
      files: {
        ...array("md127", "inactive"),
        ...array("md2", "clean"),
        ...array("md10", "active"),
        ...array("md3", "clear"),
        "/sys/class/block/md2p1/partition": "1\n",
        "/sys/class/block/sda/size": "8\n",
      },
    });
    expect(await listArrays(system)).toEqual(["/dev/md2", "/dev/md10", "/dev/md127"]);
  });
});

describe("an array", () => {
  test("of the recorded machine stands on two whole disks", async () => {
    const machine = await loadMachine("qemu-bios");
    const { stdout } = await recordedOutput("raid", "mdadm --detail /dev/md0");
    const detail = stdout.replace("/dev/vda1", "/dev/vdc").replace("/dev/vdb1", "/dev/vdd");
    const programs = { ...machine.programs, "mdadm --detail /dev/md0": { stdout: detail } };
    expect(await readArray(recordedSystem({ ...machine, programs }), "/dev/md0", signal)).toMatchObject({
      name: "root",
      components: ["/dev/vdc", "/dev/vdd"],
      // hardware 13.86
      holders: ["/dev/vdc", "/dev/vdd"],
    });
    // Without mdadm the kernel still knows what it is made of.
    expect(await readArray(recordedSystem(machine), "/dev/md0", signal)).toMatchObject({
      ...{ uuid: null, name: null, holders: ["/dev/vdc", "/dev/vdd"] },
    });
  });

  // hardware 13.86
  test("on two partitions of one disk has one holder, and a disk that was pulled out is none", async () => {
    const machine = new RaidMachine(["sda", "sdb"]);
    for (const disk of ["sda", "sda", "sdb"]) machine.addPartition(disk);
    machine.addArray("md0", ["sda1", "sda2", "sdb1"], "node:root");
    const { holders } = await readArray(machine.system, "/dev/md0", signal);
    expect(holders).toEqual(["/dev/sda", "/dev/sdb"]);
    const files = machine.system.files;
    const pulled = {
      ...machine.system,
      files: {
        ...files,
        deviceNumber: async (path: string) => (path === "/dev/sdb1" ? null : files.deviceNumber(path)),
      },
    };
    expect((await readArray(pulled, "/dev/md0", signal)).holders).toEqual(["/dev/sda"]);
  });

  test("that lacks a member is made bootable on the disks that are left, and the log says so", async () => {
    const messages = async (degraded: Record<string, RecordedFile>) => {
      const machine = new RaidMachine(["sda"], degraded);
      machine.addPartition("sda");
      machine.addArray("md0", ["sda1"], "node:root");
      await warnIfDegraded(machine.system, await readArray(machine.system, "/dev/md0", signal));
      return machine.system.messages();
    };
    const attribute = "/sys/devices/virtual/md0/md/degraded";
    expect(await messages({ [attribute]: "1\n" })).toEqual([
      expect.stringMatching(
        /^WARNING \/dev\/md0 is degraded: 1 of its members is missing, and only \/dev\/sda will boot\./,
      ) as never,
    ]);
    expect(await messages({ [attribute]: "0\n" })).toEqual([]);
    // RAID 0 cannot be degraded.
    expect(await messages({})).toEqual([]);
  });
});

describe("the synchronisation", () => {
  /** An array whose sysfs answers change at every look. */
  function syncing(looks: readonly { action: string; completed: string; speed: string }[]) {
    let look = 0;
    const recorded = recordedSystem({
      files: {
        "/dev/md0": { device: { major: 9, minor: 0 } },
        "/sys/dev/block/9:0": { link: "../../devices/md0" },
        "/sys/devices/md0/size": "1",
      },
    });
    const readAttribute = async (path: string) => {
      const now = looks[Math.min(look, looks.length - 1)]!;
      if (path.endsWith("sync_action")) return now.action;
      if (path.endsWith("sync_completed")) return now.completed;
      look += 1;
      return now.speed;
    };
    return { ...recorded, files: { ...recorded.files, readAttribute } };
  }

  test("is waited for, with progress in bytes and the time that is left", async () => {
    const system = syncing([
      { action: "resync", completed: "delayed", speed: "none" },
      { action: "resync", completed: "2048 / 8192", speed: "1024" },
      { action: "resync", completed: "6144 / 8192", speed: "512" },
      { action: "idle", completed: "none", speed: "none" },
    ]);
    const reports: Progress[] = [];
    await waitForSync(system, ["/dev/md0"], { signal, report: (progress) => void reports.push(progress) });
    expect(reports).toEqual([
      { phase: "/dev/md0: resync", done: 0, total: 0, unit: "bytes", rate: null, remaining: null },
      {
        phase: "/dev/md0: resync",
        done: 2 ** 20,
        total: 4 * 2 ** 20,
        unit: "bytes",
        rate: 2 ** 20,
        remaining: 3,
      },
      {
        phase: "/dev/md0: resync",
        done: 3 * 2 ** 20,
        total: 4 * 2 ** 20,
        unit: "bytes",
        rate: 2 ** 19,
        remaining: 2,
      },
    ]);
    expect(system.sleeps).toEqual([5, 5, 5]);
  });

  test("of RAID 0 or of no array at all is none", async () => {
    expect(await readSync(recordedSystem({}), "/dev/md0")).toBeNull();
  });

  test("is read from any text without a fault", () => {
    expect(parseSyncCompleted("1024 / 200704\n")).toEqual({ done: 524_288, total: 102_760_448 });
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.tuple(fc.nat(), fc.nat()).map((pair) => pair.join(" / ")),
        ),
        (text) => {
          const { done, total } = parseSyncCompleted(text);
          expect(done).toBeLessThanOrEqual(total);
        },
      ),
    );
  });
});
