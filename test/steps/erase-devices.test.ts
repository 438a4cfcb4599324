import { describe, expect, test } from "bun:test";
import {
  BlockDeviceEraseError,
  HardwareManagerMethodNotFound,
  HostDiskError,
  ProtectedDeviceError,
} from "../../src/errors.ts";
import type { Json, JsonObject } from "../../src/json.ts";
import { type EraseWork, eraseDevices } from "../../src/steps/erase-devices.ts";
import { rejection, thrower } from "../support/rejection.ts";
import { eraseContext, eraseDisk, eraseMachine } from "./erase-support.ts";

type Erase = (device: string, work: EraseWork) => Promise<Json>;

function run(
  devices: readonly string[],
  erase: Erase,
  settings: JsonObject = {},
  machine = eraseMachine(devices),
) {
  const context = eraseContext(machine.system, settings);
  const ended = eraseDevices(context, {
    list: async () => devices.map((device) => eraseDisk(device, 1000)),
    erase: (_node, disk, work) => erase(disk.name, work),
  });
  return { ended, reports: context.reports };
}

const DISKS = ["/dev/sda", "/dev/sdb", "/dev/sdc"];

// hardware 13.57, contract 10.34
test("the result has every device with what its manager said", async () => {
  const { ended } = run(DISKS, async (device) => (device === "/dev/sdb" ? null : { method: "shred" }));
  expect(await ended).toEqual({
    "/dev/sda": { method: "shred" },
    "/dev/sdb": null,
    "/dev/sdc": { method: "shred" },
  });
  expect(await run([], async () => null).ended).toEqual({});
});

describe("several at a time", () => {
  /** Most that ran at the same moment. */
  async function width(settings: JsonObject): Promise<number> {
    let [running, most] = [0, 0];
    const { ended } = run(
      DISKS,
      async () => {
        running += 1;
        most = Math.max(most, running);
        for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
        running -= 1;
        return null;
      },
      settings,
    );
    await ended;
    return most;
  }

  // hardware 13.58
  test("are as many as the node says, one at least, and one by default", async () => {
    expect(await width({})).toBe(1);
    expect(await width({ disk_erasure_concurrency: 2 })).toBe(2);
    expect(await width({ disk_erasure_concurrency: 8 })).toBe(3);
    for (const nonsense of [0, -1, "two", null])
      expect(await width({ disk_erasure_concurrency: nonsense })).toBe(1);
  });

  // hardware 13.58
  test("are all waited for when one fails; the first in the list is the error, and all are told of", async () => {
    const over: string[] = [];
    const slow = Promise.withResolvers<void>();
    const { ended } = run(
      DISKS,
      async (device) => {
        if (device === "/dev/sda") await slow.promise;
        over.push(device);
        if (device === "/dev/sdb") slow.resolve();
        if (device !== "/dev/sda") throw new BlockDeviceEraseError(`${device} is broken`);
        return null;
      },
      { disk_erasure_concurrency: 2 },
    );
    expect(await rejection(ended)).toBeInstanceOf(BlockDeviceEraseError);
    expect(await thrower(ended)).toThrow(
      "/dev/sda: erased or left alone as configured. /dev/sdb: /dev/sdb is broken. /dev/sdc: /dev/sdc is broken",
    );
    expect(over.sort()).toEqual(DISKS);
  });
});

// hardware 13.61
test("a disk that no manager erases is the reference's error, with the reason", async () => {
  const { ended } = run(["/dev/sda"], async (_, { explain }) => {
    explain("the drive is frozen");
    throw new HardwareManagerMethodNotFound("erase_block_device");
  });
  expect(await rejection(ended)).toBeInstanceOf(HardwareManagerMethodNotFound);
  expect(await thrower(ended)).toThrow(
    /^Could not find method: erase_block_device\. \/dev\/sda: the drive is frozen$/,
  );
});

describe("before the first disk is touched", () => {
  // hardware 13.70
  test("all are looked at for shared file systems", async () => {
    const vmfs = {
      stdout: '{"blockdevices": [{"uuid": null}, {"parttype": "aa31e02a-400f-11db-9590-000c2911d1b8"}]}',
    };
    const machine = eraseMachine(DISKS, {
      "lsblk -bia --json -oUUID,PTUUID,PARTTYPE,PARTUUID,FSTYPE /dev/sdc": vmfs,
    });
    const erased: string[] = [];
    const erase = async (device: string) => void erased.push(device) as never;
    expect(await rejection(run(DISKS, erase, {}, machine).ended)).toBeInstanceOf(ProtectedDeviceError);
    expect(erased).toEqual([]);
    await run(DISKS, erase, { wipe_special_filesystems: false }, machine).ended;
    expect(erased).toEqual(DISKS);
  });

  test("all are asked of the host guard", async () => {
    const machine = eraseMachine(
      DISKS,
      {},
      {
        "/proc/self/mountinfo": "1 1 0:2 / / rw - rootfs rootfs rw\n2 1 8:2 / /mnt rw - ext4 /dev/sdc rw\n",
      },
    );
    const erased: string[] = [];
    const { ended } = run(DISKS, async (device) => void erased.push(device) as never, {}, machine);
    expect(await rejection(ended)).toBeInstanceOf(HostDiskError);
    expect(erased).toEqual([]);
  });
});

test("a step that is aborted ends with the abort", async () => {
  const machine = eraseMachine(DISKS);
  const abort = new AbortController();
  const context = { ...eraseContext(machine.system), signal: abort.signal };
  const ended = eraseDevices(context, {
    list: async () => DISKS.map((device) => eraseDisk(device)),
    erase: async () => {
      abort.abort(new Error("told to end"));
      throw new BlockDeviceEraseError("killed");
    },
  });
  expect(await thrower(ended)).toThrow("told to end");
});

test("progress is of all disks together, by their size, and says how long it will take", async () => {
  const machine = eraseMachine(DISKS);
  const { clock } = machine.system;
  const { ended, reports } = run(
    DISKS,
    async (_, { report }) => {
      for (const percent of [0, 25, 50, 100]) {
        if (percent > 0) await clock.sleep(10);
        report({ phase: "shred", done: percent, total: 100, unit: "percent", rate: null });
      }
      return null;
    },
    {},
    machine,
  );
  await ended;
  expect(reports.map(({ done }) => done)).toEqual(reports.map(({ done }) => done).sort((a, b) => a! - b!));
  expect(reports.at(-1)).toMatchObject({ done: 3000, total: 3000, unit: "bytes" });
  // A quarter of the first disk in 10 s: 30 s for the rest of it, 40 s for each of the other two.
  expect(reports.find(({ done }) => done === 250)).toMatchObject({
    phase: "erasing disks, 0 of 3 done: /dev/sda (shred)",
    remaining: 110,
  });
});

test("a disk that says itself how long it takes is believed", async () => {
  const { ended, reports } = run(["/dev/sda"], async (_, { report }) => {
    report({
      phase: "ATA secure erase",
      done: null,
      total: null,
      unit: "percent",
      rate: null,
      remaining: 1440,
    });
    return null;
  });
  await ended;
  expect(reports.some(({ remaining }) => remaining === 1440)).toBe(true);
});
