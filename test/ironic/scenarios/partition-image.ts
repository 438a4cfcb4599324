// Partition images: the agent divides the disk and makes it boot.

import type { Firmware } from "../../rig/machine.ts";
import { check } from "../check.ts";
import type { DiskRequest, Scenario } from "../scenario.ts";

function partitionImage(kind: string, firmware: Firmware, disk: DiskRequest): Scenario {
  return {
    name: `partition-${firmware}-${kind}`,
    about: `partition image, ${firmware.toUpperCase()}, ${kind} disk, with swap, ephemeral storage and config drive`,
    async run(stage) {
      const node = await stage.enrol({ firmware, disks: [disk] });
      await node.provide();
      const partitions = { rootGiB: 1, swapMiB: 64, ephemeralGiB: 1 };
      const system = await node.deploy({ partitions });
      const number = firmware === "uefi" ? "5" : "4";
      check(system.root.endsWith(number), `the root file system is partition ${number}`, system.root);
    },
  };
}

export const partitionImages: readonly Scenario[] = [
  // GRUB of the image, run by the agent.
  partitionImage("virtio", "bios", { bus: "virtio" }),
  // The image's own EFI files.
  partitionImage("nvme", "uefi", { bus: "nvme" }),
];
