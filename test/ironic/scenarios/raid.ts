// Software RAID: built by manual cleaning, taken apart, built again, deployed to and booted from.

import { isJsonObject, member } from "../../../src/json.ts";
import { check } from "../check.ts";
import { arrayOnPartition, signaturesOn } from "../disk-content.ts";
import type { Scenario } from "../scenario.ts";

const DELETE = { interface: "raid", step: "delete_configuration" };
const CREATE = { interface: "raid", step: "create_configuration" };
const TARGET = {
  logical_disks: [{ size_gb: "MAX", raid_level: "1", controller: "software", is_root_volume: true }],
};

export const raid: Scenario = {
  name: "raid1",
  about:
    "RAID 1 of two disks by manual cleaning, and taken apart; built again, it is deployed to and booted from",
  async run(stage) {
    const node = await stage.enrol({ firmware: "uefi", disks: [{ bus: "virtio" }, { bus: "sata" }] });
    const { diskFiles } = node.managed.machine;
    const { client } = stage.site.ironic;
    await client.setTargetRaidConfig(node.managed.uuid, TARGET);
    await node.cleanManually([DELETE, CREATE]);

    const { raid_config: raidConfig } = await node.managed.record();
    const disks = member(raidConfig, "logical_disks");
    const levels = Array.isArray(disks) ? disks.map((disk) => isJsonObject(disk) && disk.raid_level) : [];
    check(levels.join() === "1", "Ironic has one logical disk, a RAID 1", JSON.stringify(raidConfig));
    const arrays = await Promise.all(diskFiles.map((file) => arrayOnPartition(file, 1)));
    const mirrored = arrays[0] !== null && arrays[0] === arrays[1];
    check(mirrored, "both disks hold halves of one array", arrays.join(", "));

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
  },
};
