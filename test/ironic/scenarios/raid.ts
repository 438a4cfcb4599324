// Software RAID: built by manual cleaning, deployed to, and booted from with either disk gone.

import { isJsonObject, type Json, member } from "../../../src/json.ts";
import { run } from "../../rig/programs.ts";
import { check } from "../check.ts";
import { arrayOnPartition, signaturesOn } from "../disk-content.ts";
import type { Scenario } from "../scenario.ts";

const DELETE = { interface: "raid", step: "delete_configuration" };
const CREATE = { interface: "raid", step: "create_configuration" };
const MIRROR = { size_gb: "MAX", raid_level: "1", controller: "software", is_root_volume: true };
const TARGET = { logical_disks: [MIRROR] };

// deploy 11.81, hardware 13.87
export const raid: Scenario = {
  name: "raid1",
  about:
    "RAID 1 of two disks by manual cleaning, and taken apart; built again, deployed to, rebuilt, booted with either disk gone; UEFI",
  async run(stage) {
    const node = await stage.enrol({
      firmware: "uefi",
      disks: [
        { bus: "virtio", sizeGiB: 6 },
        { bus: "sata", sizeGiB: 6 },
      ],
    });
    const { diskFiles } = node.managed.machine;
    const { client } = stage.site.ironic;
    await client.setTargetRaidConfig(node.managed.uuid, TARGET);
    await node.cleanManually([DELETE, CREATE]);
    const { raid_config: raidConfig } = await node.managed.record();
    check(levelsOf(raidConfig) === "1", "Ironic has one logical disk, a RAID 1", JSON.stringify(raidConfig));
    await checkArrayOn(diskFiles, 1);

    await node.cleanManually([DELETE]);
    for (const file of diskFiles) {
      const seen = [(await arrayOnPartition(file, 1)) ?? "no array", ...(await signaturesOn(file))].join(
        ", ",
      );
      check(seen === "no array", `nothing is left on ${file}`, seen);
    }

    await node.cleanManually([CREATE]);
    await node.provide();
    const { root } = await node.deploy({ minutes: 30 });
    check(root.startsWith("/dev/md"), "the system runs from the array", root);
    const before = await Promise.all(diskFiles.map(partitionsOf));
    check(before[0]?.length === 2, "a disk has its part of the ESP's mirror and of the array", before.join());

    await node.rebuild({ minutes: 30 });
    const after = await Promise.all(diskFiles.map(partitionsOf));
    check(after.join() === before.join(), "a rebuild uses the same partitions", after.join());
    for (const serial of ["RIG0000", "RIG0001"]) {
      const degraded = await node.bootsWithout(serial);
      check(degraded.root.startsWith("/dev/md"), `it boots without ${serial}`, degraded.root);
    }
  },
};

function levelsOf(raidConfig: Json): string {
  const disks = member(raidConfig, "logical_disks");
  const levels = Array.isArray(disks) ? disks.map((disk) => isJsonObject(disk) && disk.raid_level) : [];
  return levels.join();
}

/** UUID of the one array that all disks have a part of. */
async function checkArrayOn(files: readonly string[], partition: number): Promise<string> {
  const arrays = await Promise.all(files.map((file) => arrayOnPartition(file, partition)));
  const [array = null] = arrays;
  check(
    array !== null && arrays.every((other) => other === array),
    `all disks hold parts of one array in partition ${partition}`,
    arrays.join(", "),
  );
  return String(array);
}

/** Number, first sector and name of each partition. */
async function partitionsOf(file: string): Promise<string[]> {
  const { stdout } = await run(["partx", "--output", "NR,START,NAME", "--raw", "--noheadings", file]);
  return stdout.trim().split("\n");
}
