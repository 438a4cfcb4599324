// Automated cleaning.

import { join } from "node:path";
import { check } from "../check.ts";
import { arrayDataOffset, contentAt, signaturesOn } from "../disk-content.ts";
import { LEFTOVER_OFFSETS, leftoverDisks } from "../leftovers.ts";
import type { Scenario } from "../scenario.ts";

export const cleanLeftovers: Scenario = {
  name: "clean-leftovers",
  about: "automated cleaning with erase_devices_metadata: partitions, LVM and md from an earlier life",
  async run(stage) {
    const disks = await leftoverDisks(join(stage.directory, "disks"), stage.site.ramdisk);
    const [mirror] = disks.mirror;
    const arrayData = await arrayDataOffset(mirror);
    check((await contentAt(mirror, arrayData)) === "ext4", "the array holds a file system before", "none");

    const node = await stage.enrol({
      disks: [
        { bus: "virtio", file: disks.partitioned },
        { bus: "sata", file: disks.mirror[0] },
        { bus: "sata", file: disks.mirror[1] },
      ],
    });
    await node.clean();

    const table = await signaturesOn(disks.partitioned);
    check(table.length === 0, "nothing is recognised on the partitioned disk", table.join(", "));
    for (const offset of LEFTOVER_OFFSETS) {
      const content = await contentAt(disks.partitioned, offset);
      check(content === null, `nothing is recognised at ${offset} of the partitioned disk`, String(content));
    }
    // An array is erased through its own device; taking it apart is the RAID interface's business.
    const inArray = await contentAt(mirror, arrayData);
    check(inArray === null, "nothing is recognised inside the array", String(inArray));
    for (const member of disks.mirror) {
      const signatures = await signaturesOn(member);
      check(signatures.join() === "linux_raid_member", "the array itself is still there", signatures.join());
    }
  },
};
