// Software RAID by manual cleaning, as operators build it before a deployment.

import { isJsonObject, member } from "../../../src/json.ts";
import { check } from "../check.ts";
import { arrayOnPartition, signaturesOn } from "../disk-content.ts";
import type { Scenario } from "../scenario.ts";

const DELETE = { interface: "raid", step: "delete_configuration" };
const CREATE = { interface: "raid", step: "create_configuration" };
const TARGET = { logical_disks: [{ size_gb: "MAX", raid_level: "1", controller: "software" }] };

export const raid: Scenario = {
  name: "raid1",
  about:
    "RAID 1 is built from two disks by manual cleaning, Ironic gets its configuration back; then it is taken apart",
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
    check(
      arrays[0] !== null && arrays[0] === arrays[1],
      "both disks hold halves of one array",
      arrays.join(", "),
    );

    await node.cleanManually([DELETE]);
    for (const file of diskFiles) {
      const [array, signatures] = [await arrayOnPartition(file, 1), await signaturesOn(file)];
      check(
        array === null && signatures.length === 0,
        `nothing is left on ${file}`,
        `${array}, ${signatures}`,
      );
    }
  },
};
