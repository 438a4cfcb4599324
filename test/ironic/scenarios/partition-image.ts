// Partition images: the agent divides the disk and makes it boot.

import type { Firmware } from "../../rig/machine.ts";
import type { DiskBus } from "../../rig/qemu.ts";
import { check } from "../check.ts";
import type { Scenario } from "../scenario.ts";

function partitionImage(firmware: Firmware, bus: DiskBus): Scenario {
  return {
    name: `partition-${firmware}-${bus}`,
    about: `partition image, ${firmware.toUpperCase()}, ${bus} disk, with swap, ephemeral storage and config drive`,
    async run(stage) {
      const node = await stage.enrol({ firmware, disks: [{ bus }] });
      await node.provide();
      const partitions = { rootGiB: 1, swapMiB: 64, ephemeralGiB: 1 };
      const system = await node.deploy({ partitions });
      const number = firmware === "uefi" ? "5" : "4";
      check(system.root.endsWith(number), `the root file system is partition ${number}`, system.root);
    },
  };
}

export const partitionImages: readonly Scenario[] = [
  partitionImage("bios", "virtio"),
  partitionImage("uefi", "nvme"),
];
