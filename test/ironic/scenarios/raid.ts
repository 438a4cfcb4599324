// Software RAID: built by manual cleaning or as a step of the deployment, deployed to, and booted from with either disk gone.

import { isJsonObject, type Json, member } from "../../../src/json.ts";
import { run } from "../../rig/programs.ts";
import { check } from "../check.ts";
import { arrayOnPartition, signaturesOn } from "../disk-content.ts";
import type { Scenario } from "../scenario.ts";
import type { StageNode } from "../stage-node.ts";

const DELETE = { interface: "raid", step: "delete_configuration" };
const CREATE = { interface: "raid", step: "create_configuration" };
export const MIRROR = { size_gb: "MAX", raid_level: "1", controller: "software", is_root_volume: true };
const TARGET = { logical_disks: [MIRROR] };
/** Name of a deploy template, and of the trait that brings it in. */
export const TEMPLATE = "CUSTOM_RIG_RAID1";
/** Before the image is written. */
export const APPLY = {
  ...{ interface: "raid", step: "apply_configuration", priority: 90 },
  args: { raid_config: TARGET },
};

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
    await checkBootsWithout(node, ["RIG0000", "RIG0001"]);
  },
};

// deploy 11.80
export const raidTemplate: Scenario = {
  name: "raid1-template",
  about:
    "a deploy template builds the RAID 1, BIOS and GPT; GRUB goes to both disks, and the partition image boots with either gone",
  async run(stage) {
    await using _template = await stage.deployTemplate(TEMPLATE, [APPLY]);
    const node = await stage.enrol({
      disks: [
        { bus: "virtio", sizeGiB: 6 },
        { bus: "virtio", sizeGiB: 6 },
      ],
      properties: { capabilities: "boot_mode:bios,boot_option:local,disk_label:gpt" },
    });
    await stage.site.ironic.client.setTraits(node.managed.uuid, [TEMPLATE]);
    await node.provide();
    const partitions = { rootGiB: 2 };
    const { root } = await node.deploy({ partitions, traits: [TEMPLATE], minutes: 30 });
    check(root.startsWith("/dev/md"), "the system runs from the array", root);
    for (const file of node.managed.machine.diskFiles) {
      const found = (await partitionsOf(file)).join();
      check(/bios-boot-part-\d/.test(found), `${file} has a BIOS boot partition`, found);
    }
    await checkBootsWithout(node, ["RIG0000", "RIG0001"]);
  },
};

export const raid10: Scenario = {
  name: "raid10",
  about:
    "RAID 1 and RAID 1+0 of four disks by manual cleaning, BIOS; a whole-disk image on the first, with and without the first disk",
  async run(stage) {
    const node = await stage.enrol({
      disks: Array.from({ length: 4 }, () => ({ bus: "virtio" as const, sizeGiB: 6 })),
    });
    const { diskFiles } = node.managed.machine;
    const config = {
      logical_disks: [
        { ...MIRROR, size_gb: 5 },
        { ...MIRROR, raid_level: "1+0", is_root_volume: false, volume_name: "data" },
      ],
    };
    await stage.site.ironic.client.setTargetRaidConfig(node.managed.uuid, config);
    await node.cleanManually([DELETE, CREATE]);
    const { raid_config: raidConfig } = await node.managed.record();
    check(levelsOf(raidConfig) === "1,1+0", "Ironic has both logical disks", JSON.stringify(raidConfig));
    const first = await checkArrayOn(diskFiles, 1);
    const second = await checkArrayOn(diskFiles, 2);
    check(first !== second, "these are two arrays", `${first}, ${second}`);

    await node.provide();
    const { root } = await node.deploy({ minutes: 30 });
    check(root.startsWith("/dev/md"), "the system runs from the array", root);
    await checkBootsWithout(node, ["RIG0000"]);
  },
};

/** From the array, with each of these disks gone in its turn. */
async function checkBootsWithout(node: StageNode, serials: readonly string[]): Promise<void> {
  for (const serial of serials) {
    const { root } = await node.bootsWithout(serial);
    check(root.startsWith("/dev/md"), `it boots without ${serial}`, root);
  }
}

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
