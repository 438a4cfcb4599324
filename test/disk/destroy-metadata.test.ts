// What holds a device while its metadata is destroyed: volumes of LVM are switched off, arrays and multipath maps stay.

import { expect, test } from "bun:test";
import { destroyMetadata } from "../../src/disk/destroy-metadata.ts";
import type { BlockDevice } from "../../src/system/block-device.ts";
import { type RecordedFile, recordedSystem } from "../support/recorded-system.ts";

/** vda3 with the given holders, as sysfs shows them: a map has a dm/uuid, an array has none. */
function machine(holders: Record<string, { on: string; uuid?: string }>) {
  const files: Record<string, RecordedFile> = {
    "/dev/vda3": { device: { major: 254, minor: 3 } },
    "/sys/dev/block/254:3": { link: "../../class/block/vda3" },
    "/sys/class/block/vda3/size": "1",
  };
  for (const [name, { on, uuid }] of Object.entries(holders)) {
    files[`/sys/class/block/${on}/holders/${name}`] = "";
    files[`/sys/class/block/${name}/size`] = "1";
    if (uuid !== undefined) files[`/sys/class/block/${name}/dm/uuid`] = `${uuid}\n`;
  }
  const recorded = recordedSystem({
    files,
    programs: { dmsetup: {}, wipefs: {}, sgdisk: {}, fuser: { exitCode: 1 } },
  });
  const open = async (path: string): Promise<BlockDevice> => ({
    path,
    size: 2 ** 20,
    sectorSize: 512,
    read: async () => 0,
    write: async () => {},
    flush: async () => {},
    [Symbol.asyncDispose]: async () => {},
  });
  return { ...recorded, blockDevices: { open } };
}

async function programsRun(holders: Parameters<typeof machine>[0]): Promise<string[]> {
  const system = machine(holders);
  const freeWait = { attempts: 1, interval: 0 };
  await destroyMetadata(system, "/dev/vda3", freeWait, new AbortController().signal);
  return system.calls.map((argv) => argv.join(" "));
}

const REST = ["wipefs --force --all /dev/vda3", "sgdisk -Z /dev/vda3", "fuser /dev/vda3"];

test("logical volumes are switched off first, those on top of others before them", async () => {
  const holders = {
    "dm-0": { on: "vda3", uuid: "LVM-abc" },
    "dm-1": { on: "dm-0", uuid: "CRYPT-LUKS2-def" },
  };
  expect(await programsRun(holders)).toEqual([
    "dmsetup remove --retry /dev/dm-1",
    "dmsetup remove --retry /dev/dm-0",
    ...REST,
  ]);
});

test("an array and a multipath map stay together", async () => {
  const holders = { md0: { on: "vda3" }, "dm-0": { on: "vda3", uuid: "mpath-360000" } };
  expect(await programsRun(holders)).toEqual(REST);
});
