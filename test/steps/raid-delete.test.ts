import { describe, expect, test } from "bun:test";
import { HostDiskError, SoftwareRAIDError } from "../../src/errors.ts";
import type { JsonObject } from "../../src/json.ts";
import { createConfigurationStep, deleteConfigurationStep } from "../../src/steps/raid-steps.ts";
import type { StepContext } from "../../src/steps/step.ts";
import { rejection, thrower } from "../support/rejection.ts";
import { RaidMachine } from "./raid-machine.ts";
import { harness, software } from "./raid-support.ts";

function remove(machine: RaidMachine, node: JsonObject = {}, spared: ReadonlySet<string> = new Set()) {
  const { context, host, ...rest } = harness(machine, node, {}, spared);
  return { ...rest, run: () => deleteConfigurationStep(host).run(context as StepContext, {}) };
}

/** sda and sdb with two partitions each, and an array over each pair. */
function twoArrays(first: string | null = "node:root", second: string | null = "node:data"): RaidMachine {
  const machine = new RaidMachine(["sda", "sdb"]);
  for (const disk of ["sda", "sdb", "sda", "sdb"]) machine.addPartition(disk);
  machine.addArray("md0", ["sda1", "sdb1"], first);
  machine.addArray("md1", ["sda2", "sdb2"], second);
  return machine;
}

// hardware 13.81
test("arrays are wiped and stopped, superblocks zeroed, and at last the disks wiped", async () => {
  const machine = twoArrays();
  const { run, reports } = remove(machine);
  expect(await run()).toBeNull();
  expect(machine.arrays).toEqual({});
  expect(machine.superblocks).toEqual([]);
  expect(machine.devices).toEqual(["/dev/sda", "/dev/sdb"]);
  expect(machine.commands).toEqual([
    "mdadm --assemble --scan",
    "wipefs --force --all /dev/md0",
    "mdadm --stop /dev/md0",
    "mdadm --zero-superblock /dev/sda1",
    "mdadm --zero-superblock /dev/sdb1",
    "wipefs --force --all /dev/md1",
    "mdadm --stop /dev/md1",
    "mdadm --zero-superblock /dev/sda2",
    "mdadm --zero-superblock /dev/sdb2",
    "wipefs --force --all /dev/sda",
    "wipefs --force --all /dev/sdb",
    "mdadm --assemble --scan",
  ]);
  expect(reports[0]).toMatchObject({ phase: "deleting 2 arrays, pass 1" });
});

// hardware 13.81
test("on clean disks one pass runs and succeeds; it clears superblocks of arrays nobody sees", async () => {
  const clean = new RaidMachine(["sda", "sdb"]);
  await remove(clean).run();
  expect(clean.commands).toEqual(["mdadm --assemble --scan", "mdadm --assemble --scan"]);

  const stray = twoArrays();
  // Gone without a trace but for the superblocks.
  await stray.system.run(["mdadm", "--stop", "/dev/md0"]);
  await stray.system.run(["mdadm", "--stop", "/dev/md1"]);
  await remove(stray).run();
  expect(stray.superblocks).toEqual([]);
  // Partitions before disks, last first.
  expect(
    stray.commands.filter((line) => line.includes("--zero")).map((line) => line.split(" ").at(-1)),
  ).toEqual([...["/dev/sdb2", "/dev/sdb1", "/dev/sda2", "/dev/sda1"]]);
});

test("nothing is written on a disk that is to be left alone, nor to the array that is on it", async () => {
  const machine = new RaidMachine(["sda", "sdb", "sdc", "sdd"]);
  for (const disk of ["sda", "sdb", "sdc", "sdd"]) machine.addPartition(disk);
  machine.addArray("md0", ["sda1", "sdb1"], "node:root");
  machine.addArray("md1", ["sdc1", "sdd1"], "elsewhere:data");
  await remove(machine, {}, new Set(["/dev/sdc", "/dev/sdc1"])).run();
  expect(machine.arrays).toEqual({ md1: ["sdc1", "sdd1"] });
  expect(machine.superblocks).toEqual(["sdc1", "sdd1"]);
  expect(machine.commands.filter((line) => /sd[cd]|md1/.test(line))).toEqual([]);
});

// hardware 13.82
test("what does not go is an error after two passes that names it", async () => {
  const machine = twoArrays();
  machine.stuck.add("md1");
  const { run } = remove(machine);
  const failed = run();
  expect(await rejection(failed)).toBeInstanceOf(SoftwareRAIDError);
  expect(await thrower(failed)).toThrow(/Failed to delete the software RAID arrays \/dev\/md1:.*2 passes/);
  expect(machine.commands.filter((line) => line === "mdadm --assemble --scan")).toHaveLength(3);
  // Its disks and superblocks are as they were: half an array would help nobody.
  expect(Object.keys(machine.arrays)).toEqual(["md1"]);
  expect(machine.superblocks).toEqual(["sda2", "sdb2"]);
});

// hardware 13.82, 13.86
test("foreign arrays of whole disks, of lost members and without names go, too; each disk is wiped once", async () => {
  const machine = new RaidMachine(["sda", "sdb", "sdc"]);
  machine.addArray("md127", ["sda", "sdb"], null);
  machine.addArray("md126", ["sdc"], "other:host");
  await remove(machine).run();
  expect(machine.arrays).toEqual({});
  expect(
    machine.commands.filter((line) => /wipefs.*\/sd/.test(line)).map((line) => line.split(" ").at(-1)),
  ).toEqual([...["/dev/sdc", "/dev/sda", "/dev/sdb"]]);
});

test("a failed member that is no longer part of its array loses its superblock with it", async () => {
  const machine = twoArrays();
  machine.arrays.md0!.splice(1);
  await remove(machine).run();
  expect(machine.superblocks).toEqual([]);
});

test("a component that cannot be read is an error", async () => {
  const machine = twoArrays();
  machine.failing.add("mdadm --examine /dev/sda1");
  expect(await thrower(remove(machine).run())).toThrow(/Failed to read the RAID superblock of \/dev\/sda1/);
});

test("arrays of the running system are never touched, nor anything outside a ramdisk", async () => {
  const mounted = twoArrays();
  const files = mounted.system.files as { readText: (path: string) => Promise<string> };
  const original = files.readText;
  files.readText = async (path) =>
    path.endsWith("/mountinfo")
      ? "1 1 0:2 / / rw - rootfs rootfs rw\n2 1 0:9 / /mnt rw - ext4 /dev/md1 rw\n"
      : original(path);
  expect(await rejection(remove(mounted).run())).toBeInstanceOf(HostDiskError);
  expect(mounted.commands).toEqual(["mdadm --assemble --scan"]);

  const outside = new RaidMachine(["sda"], { "/proc/self/mountinfo": "1 1 9:9 / / rw - nfs s:/r rw\n" });
  expect(await rejection(remove(outside).run())).toBeInstanceOf(HostDiskError);
});

test("a disk in use that is part of no array is passed over", async () => {
  const mounted = new RaidMachine(["sda", "sdb", "sdc"]);
  mounted.addPartition("sdc");
  // An old superblock that nobody assembles, on a partition that is mounted.
  mounted.addArray("md0", ["sdc1"], "old:data");
  await mounted.system.run(["mdadm", "--stop", "/dev/md0"]);
  const files = mounted.system.files as { readText: (path: string) => Promise<string> };
  files.readText = async () => "1 1 0:2 / / rw - rootfs rootfs rw\n2 1 0:9 / /mnt rw - ext4 /dev/sdc1 rw\n";
  await remove(mounted).run();
  expect(mounted.superblocks).toEqual(["sdc1"]);
});

test("what was said of earlier arrays is void once they are deleted", async () => {
  const { context, host, volumes } = harness(twoArrays());
  host.volumeCreated("/dev/md0", true);
  await deleteConfigurationStep(host).run(context as StepContext, {});
  expect(volumes).toEqual([]);
});

// hardware 13.84
describe("arrays to keep", () => {
  const KEEP_DATA = { properties: { skip_block_devices: [{ volume_name: "data" }] } };

  test("stay with what shares their disks, which is emptied", async () => {
    const machine = twoArrays();
    await remove(machine, KEEP_DATA).run();
    expect(Object.keys(machine.arrays)).toEqual(["md0", "md1"]);
    expect(machine.superblocks).toEqual(["sda1", "sda2", "sdb1", "sdb2"]);
    expect(machine.commands).toEqual([
      "mdadm --assemble --scan",
      "wipefs --force --all /dev/md0",
      "mdadm --assemble --scan",
    ]);
  });

  test("and the array of the EFI system partitions with them", async () => {
    const machine = twoArrays("node:esp");
    await remove(machine, KEEP_DATA).run();
    expect(machine.commands).toEqual(["mdadm --assemble --scan", "mdadm --assemble --scan"]);
  });

  test("on other disks do not hinder", async () => {
    const machine = new RaidMachine(["sda", "sdb", "sdc", "sdd"]);
    for (const disk of ["sda", "sdb", "sdc", "sdd"]) machine.addPartition(disk);
    machine.addArray("md0", ["sda1", "sdb1"], "node:root");
    machine.addArray("md1", ["sdc1", "sdd1"], "node:data");
    await remove(machine, KEEP_DATA).run();
    expect(Object.keys(machine.arrays)).toEqual(["md1"]);
    expect(machine.superblocks).toEqual(["sdc1", "sdd1"]);
    expect(machine.devices).toContain("/dev/sdc1");
  });

  test("keep their disks when others are made again", async () => {
    const machine = new RaidMachine(["sda", "sdb", "sdc", "sdd"]);
    for (const disk of ["sdc", "sdd"]) machine.addPartition(disk);
    machine.addArray("md1", ["sdc1", "sdd1"], "node:data");
    const config = software(
      { raid_level: "1", size_gb: 1, volume_name: "root" },
      { raid_level: "1", size_gb: "MAX", volume_name: "data" },
    );
    const { context, host } = harness(machine, { ...KEEP_DATA, target_raid_config: config });
    // Not told otherwise, an array takes all disks: but not those of an array that is kept.
    await createConfigurationStep(host).run(context as StepContext, {});
    expect(machine.arrays).toEqual({ md1: ["sdc1", "sdd1"], md0: ["sda1", "sdb1"] });
    expect(machine.commands.some((line) => /parted \/dev\/sd[cd]/.test(line))).toBe(false);
  });

  test("are not made again: nothing is run, and the configuration is the result", async () => {
    const machine = twoArrays();
    const config = software(
      { raid_level: "1", size_gb: 1, volume_name: "root" },
      { raid_level: "1", size_gb: "MAX", volume_name: "data" },
    );
    const { context, host } = harness(machine, { ...KEEP_DATA, target_raid_config: config });
    expect(await createConfigurationStep(host).run(context as StepContext, {})).toEqual(config);
    expect(machine.commands).toEqual([]);
  });

  test("have names, and what is there besides them has no other", async () => {
    const config = software({ raid_level: "1", size_gb: "MAX", volume_name: "data" });
    const created = (machine: RaidMachine, volume_name = "data") => {
      const { context, host } = harness(machine, {
        properties: { skip_block_devices: [{ volume_name }] },
        target_raid_config: config,
      });
      return createConfigurationStep(host).run(context as StepContext, {});
    };
    expect(await thrower(created(twoArrays(null)))).toThrow(/\/dev\/md0 has no volume name/);
    expect(await thrower(created(twoArrays("node:third")))).toThrow(
      /\/dev\/md0 \(third\) exists and is neither/,
    );
    // The name is taken by an array that is not to be kept.
    const other = new RaidMachine(["sda", "sdb"]);
    other.addArray("md0", ["sda", "sdb"], "node:data");
    expect(await thrower(created(other, "elsewhere"))).toThrow(
      /An array named data exists already \(\/dev\/md0\)/,
    );
  });
});
