import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DeviceNotFound } from "../../src/errors.ts";
import { withoutSkipped } from "../../src/hardware/skip-list.ts";
import type { JsonObject } from "../../src/json.ts";
import { RaidMachine } from "../steps/raid-machine.ts";
import { rejection } from "../support/rejection.ts";
import { disk } from "./support.ts";

function left(machine: RaidMachine, list: unknown, emptiedArraysToo = false) {
  const node = { properties: { skip_block_devices: list } } as JsonObject;
  const devices = machine.devices.map((name) => disk({ name, serial: `SN-${name.slice(5)}` }));
  return withoutSkipped(machine.system, node, devices, { emptiedArraysToo }).then((found) =>
    found.map(({ name }) => name),
  );
}

// hardware 13.35
test("disks that match a set of hints are left alone, and their partitions with them", async () => {
  const machine = new RaidMachine(["sda", "sdb", "nvme0n1"]);
  machine.addPartition("sda");
  machine.addPartition("nvme0n1");
  expect(await left(machine, [{ name: "/dev/sda" }])).toEqual(["/dev/sdb", "/dev/nvme0n1", "/dev/nvme0n1p1"]);
  expect(await left(machine, [{ serial: "SN-nvme0n1" }, { name: "/dev/sdb", size: 10 }])).toEqual([
    "/dev/sda",
    "/dev/sda1",
  ]);
  expect(await left(machine, [{ name: "/dev/sdz" }, {}])).toHaveLength(5);
  expect(await withoutSkipped(machine.system, null, [], { emptiedArraysToo: false })).toEqual([]);
});

// hardware 13.84
describe("arrays", () => {
  test("to keep are left alone; those that share their disks only where they must not be wiped again", async () => {
    const machine = new RaidMachine(["sda", "sdb"]);
    for (const name of ["sda", "sdb", "sda", "sdb"]) machine.addPartition(name);
    machine.addArray("md0", ["sda1", "sdb1"], "node:root");
    machine.addArray("md1", ["sda2", "sdb2"], "node:data");
    const arrays = async (too: boolean) =>
      (await left(machine, [{ volume_name: "data" }], too)).filter((name) => name.startsWith("/dev/md"));
    expect(await arrays(false)).toEqual(["/dev/md0"]);
    expect(await arrays(true)).toEqual([]);
    expect(await left(machine, [])).toContain("/dev/md1");
  });

  test("on a disk that is left alone are left alone with it: to write to them is to write to it", async () => {
    const machine = new RaidMachine(["sda", "sdb", "sdc"]);
    for (const name of ["sda", "sdb", "sdc"]) machine.addPartition(name);
    machine.addArray("md0", ["sda1", "sdb1"], "node:data");
    expect(await left(machine, [{ name: "/dev/sdb" }])).toEqual([
      "/dev/sda",
      "/dev/sdc",
      "/dev/sda1",
      "/dev/sdc1",
    ]);
  });

  test("that are to be kept can be asked for with their disks, which an image would end them on", async () => {
    const machine = new RaidMachine(["sda", "sdb", "sdc"]);
    for (const name of ["sda", "sdb"]) machine.addPartition(name);
    machine.addArray("md0", ["sda1", "sdb1"], "node:data");
    const devices = machine.disks.map((name) => disk({ name }));
    const node = { properties: { skip_block_devices: [{ volume_name: "data" }] } };
    const options = { emptiedArraysToo: false, disksUnderArraysToo: true };
    expect((await withoutSkipped(machine.system, node, devices, options)).map(({ name }) => name)).toEqual([
      "/dev/sdc",
    ]);
  });
});

test("whatever the list is, it spares something or fails", async () => {
  const machine = new RaidMachine(["sda", "sdb"]);
  const entry = fc.oneof(fc.jsonValue(), fc.record({ name: fc.constantFrom("/dev/sda", "<in> sd", "<or>") }));
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.jsonValue(), fc.array(entry)), async (list) => {
      const found = await left(machine, list).catch((error: unknown) => error);
      if (found instanceof Error) expect(found).toBeInstanceOf(DeviceNotFound);
      else for (const name of found as string[]) expect(machine.devices).toContain(name);
    }),
  );
});

test("a list that cannot be understood spares everything by failing", async () => {
  const machine = new RaidMachine(["sda"]);
  for (const list of ["sda", [1], [{ colour: "red" }], [{ size: "x" }]])
    expect(await rejection(left(machine, list))).toBeInstanceOf(DeviceNotFound);
});
