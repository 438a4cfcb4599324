// A disk of a software RAID is replaced by an empty one while the machine is off: udev leaves the arrays inactive then, and the agent has to
// start them, or the image would go to the empty disk. Run with `bun test test/vm`.

import { describe, expect, test } from "bun:test";
import { askedFor, bootAgent } from "./agent-machine.ts";

const GIB = 2 ** 30;
const TIMEOUT = 1_200_000;

describe.skipIf(!askedFor)("a RAID 1 with an empty disk in the place of a member", () => {
  test(
    "runs on the other one, and is the root device",
    async () => {
      await using agent = await bootAgent({
        firmware: "bios",
        disks: ["DISK1", "DISK2"].map((serial) => ({
          ...{ bus: "virtio" as const, serial, sizeBytes: 6 * GIB },
        })),
      });
      const mirror = { controller: "software", raid_level: "1" };
      const config = {
        logical_disks: [
          { ...mirror, size_gb: 5, volume_name: "root" },
          { ...mirror, size_gb: "MAX", volume_name: "data" },
        ],
      };
      const node = { properties: { capabilities: "boot_mode:bios" }, target_raid_config: config };
      expect(await agent.step("create_configuration", { interface: "raid", node })).toMatchObject({
        status: "SUCCEEDED",
      });
      await agent.shell(
        "echo 2000000 >/proc/sys/dev/raid/speed_limit_max; mdadm --wait /dev/md0; mdadm --wait /dev/md1; sync",
      );
      await agent.machine.powerOff();
      await agent.machine.replaceDisk("DISK1");

      await agent.boot();
      const states = await agent.shell("cat /sys/block/md*/md/array_state /sys/block/md*/md/degraded");
      expect(states.split(/\s+/).sort()).toEqual(["1", "1", "read-auto", "read-auto"]);
      expect(await agent.shell("ironic-python-agent root-device '{}' 2>/dev/null")).toMatch(/^\/dev\/md\d+$/);
      const log = await agent.shell("grep 'members of which are missing' /var/log/ironic-python-agent.log");
      expect(log).toMatch(/started \/dev\/md12[67], \/dev\/md12[67], members of which are missing/);
    },
    TIMEOUT,
  );
});
