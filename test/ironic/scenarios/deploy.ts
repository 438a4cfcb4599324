// Whole-disk images on machines of several kinds. The deployed system proves the disk, the boot loader and the config drive
// by printing its node's UUID, which it can only have from there.

import type { Firmware } from "../../rig/machine.ts";
import type { DiskBus } from "../../rig/qemu.ts";
import type { Scenario } from "../scenario.ts";

// deploy 11.63, with Debian.
function deployment(firmware: Firmware, format: "raw" | "qcow2", bus: DiskBus): Scenario {
  return {
    name: `deploy-${firmware}-${format}-${bus}`,
    about: `whole-disk ${format} image, ${firmware.toUpperCase()}, ${bus} disk, config drive read by the deployed system`,
    async run(stage) {
      const node = await stage.enrol({ firmware, disks: [{ bus }] });
      await node.provide();
      await node.deploy({ format });
    },
  };
}

export const deployments: readonly Scenario[] = [
  deployment("uefi", "raw", "virtio"),
  deployment("bios", "raw", "sata"),
  deployment("bios", "qcow2", "virtio"),
  deployment("uefi", "qcow2", "nvme"),
];
