// A disk of a software RAID dies and is replaced. What docs/raid.md ("When a disk dies") tells the operator to do is done in the rescue
// ramdisk, command by command; then the new disk has to carry the machine alone.

import type { Firmware } from "../../rig/machine.ts";
import { check } from "../check.ts";
import type { Scenario } from "../scenario.ts";
import type { StageNode } from "../stage-node.ts";
import { APPLY, MIRROR, TEMPLATE } from "./raid.ts";

const [OLD, NEW] = ["/dev/vda", "/dev/vdb"];
const [OLD_SERIAL, NEW_SERIAL] = ["RIG0000", "RIG0001"];
const RECOVERY_TIMEOUT_MS = 600_000;

/** The partition table, and with msdos also GRUB, which lies between the table and the first partition. */
const COPY_TABLE: Readonly<Record<Firmware, readonly string[]>> = {
  uefi: [`sgdisk --replicate=${NEW} ${OLD}`, `sgdisk --randomize-guids ${NEW}`],
  bios: [`dd if=${OLD} of=${NEW} bs=1M count=1`],
};

function newDisk(firmware: Firmware): Scenario {
  return {
    name: `raid1-new-disk-${firmware}`,
    about: `a disk of a RAID 1 is replaced by an empty one, which then boots alone, ${firmware.toUpperCase()}`,
    async run(stage) {
      await using _template = await stage.deployTemplate(TEMPLATE, [APPLY]);
      const node = await stage.enrol({
        firmware,
        disks: [
          { bus: "virtio", sizeGiB: 6 },
          { bus: "virtio", sizeGiB: 6 },
        ],
      });
      const { client } = stage.site.ironic;
      const { machine, uuid } = node.managed;
      await client.setTraits(uuid, [TEMPLATE]);
      // A whole-disk image in BIOS mode: Ironic asks for a boot loader only if it knows of the RAID.
      await client.setTargetRaidConfig(uuid, { logical_disks: [MIRROR] });
      await node.provide();
      await node.deploy({ traits: [TEMPLATE], minutes: 30 });

      await machine.powerOff();
      await machine.replaceDisk(NEW_SERIAL);
      const degraded = await node.bootsAgain();
      check(degraded.root.startsWith("/dev/md"), "it boots with the empty disk in place", degraded.root);
      await node.rescue("Rescue-me, please 1");
      await addDisk(node, firmware);
      await node.unrescue();
      const alone = await node.bootsWithout(OLD_SERIAL);
      check(alone.root.startsWith("/dev/md"), "the new disk boots alone", alone.root);
    },
  };
}

async function addDisk(node: StageNode, firmware: Firmware): Promise<void> {
  for (const command of COPY_TABLE[firmware]) await node.shell(command);
  await node.shell(`partprobe ${NEW}; udevadm settle`);
  const rows = await node.shell(`lsblk --noheadings --raw --output NAME,TYPE,PKNAME ${OLD}`);
  const arrays = [...rows.matchAll(/^(md\d+) raid1 vda(\d)/gm)];
  const expected = firmware === "uefi" ? 2 : 1;
  check(arrays.length === expected, `${OLD} carries ${expected} arrays, which run`, rows);
  for (const [, array, number] of arrays) await node.shell(`mdadm --add /dev/${array} ${NEW}${number}`);
  if (firmware === "uefi") {
    const esp = (await node.shell(`sgdisk --print ${NEW}`)).match(/^\s*(\d+) .*EF00/m)?.[1];
    const loader = String.raw`'\EFI\debian\grubx64.efi'`;
    await node.shell(
      `efibootmgr --create --disk ${NEW} --part ${esp} --label 'debian (RAID, new disk)' --loader ${loader}`,
    );
  }
  // 1 when there was nothing to wait for any more.
  const waiting = `mdadm --wait ${arrays.map(([, array]) => `/dev/${array}`).join(" ")}; cat /proc/mdstat`;
  const state = await node.managed.machine.shell(waiting, RECOVERY_TIMEOUT_MS);
  check(!state.includes("_"), "no array lacks a member", state);
}

export const newDisks: readonly Scenario[] = [newDisk("uefi"), newDisk("bios")];
