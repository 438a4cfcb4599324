// Erasing, RAID and the choice of the root device through the managers, as a conductor reaches them.

import { describe, expect, test } from "bun:test";
import { Config } from "../../src/config/config.ts";
import {
  CommandExecutionError,
  HardwareManagerMethodNotFound,
  IncompatibleHardwareMethodError,
} from "../../src/errors.ts";
import { GenericHardwareManager } from "../../src/hardware/generic-manager.ts";
import { type HardwareManager, type ManagerFactory, Support } from "../../src/hardware/manager.ts";
import { HardwareManagers } from "../../src/hardware/managers.ts";
import type { JsonObject } from "../../src/json.ts";
import { Deployment } from "../../src/steps/deployment.ts";
import { RaidMachine } from "../steps/raid-machine.ts";
import { software } from "../steps/raid-support.ts";
import { rejection, thrower } from "../support/rejection.ts";

const GENERIC: ManagerFactory = (context) => new GenericHardwareManager(context);
const CALL = { ports: [], args: {}, signal: new AbortController().signal, report: () => {} };

async function managers(machine: RaidMachine, factories: readonly ManagerFactory[] = [GENERIC]) {
  const loaded = new HardwareManagers({
    system: machine.system,
    config: Config.of({ disk_wait_attempts: 0 }),
    deployment: new Deployment(),
    factories,
  });
  await loaded.load();
  return loaded;
}

/** A vendor's manager with an eraser of its own. */
function vendor(eraseBlockDevice: NonNullable<HardwareManager["eraseBlockDevice"]>): ManagerFactory {
  return () => ({
    ...{ className: "VendorManager", name: "vendor", version: "1" },
    evaluateHardwareSupport: async () => Support.mainline,
    eraseBlockDevice,
  });
}

describe("erase_devices", () => {
  test("asks the vendor's manager first, and the generic one where that passes", async () => {
    const machine = new RaidMachine(["sda", "sdb"], { "/sys/devices/sdb/ro": "1\n" });
    const loaded = await managers(machine, [
      GENERIC,
      vendor(async (_node, { name }) => {
        if (name === "/dev/sdb") throw new IncompatibleHardwareMethodError("not mine");
        return { method: "magic" };
      }),
    ]);
    const node = { driver_internal_info: { agent_erase_skip_read_only: true } };
    expect(await loaded.executeStep("clean", "erase_devices", { ...CALL, node })).toMatchObject({
      "/dev/sda": { method: "magic" },
      "/dev/sdb": { method: "none", reason: "read-only" },
    });
  });

  // hardware 13.61
  test("that nobody can do ends as method-not-found, with the reason in it", async () => {
    const machine = new RaidMachine(["sda"]);
    const failed = (await managers(machine)).executeStep("clean", "erase_devices", { ...CALL, node: {} });
    expect(await rejection(failed)).toBeInstanceOf(HardwareManagerMethodNotFound);
    // shred is not recorded, so it is not installed.
    expect(await thrower(failed)).toThrow(
      /^Could not find method: erase_block_device\. \/dev\/sda: Unsupported: .*cannot run shred/,
    );
  });

  // hardware 13.35
  test("leaves alone what the operator wants left alone", async () => {
    const machine = new RaidMachine(["sda", "sdb"]);
    const loaded = await managers(machine, [GENERIC, vendor(async () => null)]);
    const node = { properties: { skip_block_devices: [{ name: "/dev/sda" }] } };
    expect(await loaded.executeStep("clean", "erase_devices", { ...CALL, node })).toEqual({
      "/dev/sdb": null,
    });
    // They are still shown.
    expect(await loaded.dispatch("listBlockDevices")).toHaveLength(2);
  });
});

test("burnin_disk leaves alone what the operator wants left alone", async () => {
  const machine = new RaidMachine(["sda", "sdb"]);
  const loaded = await managers(machine);
  const node = { properties: { skip_block_devices: [{ name: "/dev/sda" }] } };
  // fio is not recorded, so it is not installed: the error has its command line.
  const failed = await rejection(loaded.executeStep("clean", "burnin_disk", { ...CALL, node }));
  expect(failed).toBeInstanceOf(CommandExecutionError);
  expect(machine.system.messages().filter((message) => message.includes("skip_block_devices"))).toHaveLength(
    1,
  );
  const fio = machine.system.calls.find(([program]) => program === "fio");
  expect(fio?.filter((word) => word.startsWith("/dev/"))).toEqual(["/dev/sdb"]);
});

describe("the root device", () => {
  const NODE = { uuid: "node-1", properties: { root_device: { name: "/dev/sdc" } } };

  async function afterRaid(
    ...disks: JsonObject[]
  ): Promise<{ chosen: Promise<string>; machine: RaidMachine }> {
    const machine = new RaidMachine(["sda", "sdb", "sdc"]);
    const loaded = await managers(machine);
    const node = { ...NODE, target_raid_config: software(...disks) };
    await loaded.node.cache(node);
    await loaded.executeStep("clean", "create_configuration", { ...CALL, node });
    return { chosen: loaded.dispatch("getOsInstallDevice"), machine };
  }
  const on = (...names: string[]) => ({
    size_gb: 1,
    raid_level: "1",
    physical_disks: names.map((name) => ({ name })),
  });

  // hardware 13.34
  test("is the array that the operator made the root volume, whatever the hints say", async () => {
    const { chosen, machine } = await afterRaid({ ...on("/dev/sda", "/dev/sdb"), is_root_volume: true });
    expect(await chosen).toBe("/dev/md0");
    expect(machine.system.messages()).toContain(
      "WARNING /dev/md0 is the root volume; root device hints are ignored",
    );
  });

  // hardware 13.34
  test("is no array that is not for it, nor a disk under one", async () => {
    const { chosen } = await afterRaid({ ...on("/dev/sda", "/dev/sdc"), is_root_volume: false });
    expect(await thrower(chosen)).toThrow(/using these hints {"name":"\/dev\/sdc"}.*Disks seen: \/dev\/sdb /);
  });

  // hardware 13.35
  test("is no disk on the skip list", async () => {
    const machine = new RaidMachine(["sda", "sdb"]);
    const loaded = await managers(machine);
    await loaded.node.cache({ uuid: "node-1", properties: { skip_block_devices: [{ name: "/dev/sda" }] } });
    expect(await loaded.dispatch("getOsInstallDevice")).toBe("/dev/sdb");
  });
});

test("physical_disks with hints that nobody understands are an error of the configuration", async () => {
  const machine = new RaidMachine(["sda", "sdb"]);
  const config = software({
    raid_level: "1",
    size_gb: 1,
    physical_disks: [{ colour: "red" }, { colour: "blue" }],
  });
  const run = (await managers(machine)).executeStep("clean", "create_configuration", {
    ...CALL,
    node: { target_raid_config: config },
  });
  expect(await thrower(run)).toThrow(
    /physical_disks has {"colour":"red"}, which cannot be understood: .*colour/,
  );
  expect(machine.commands.filter((line) => !line.includes("--assemble"))).toEqual([]);
});
