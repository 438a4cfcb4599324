// Partition images: the agent divides the disk and makes it boot.

import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { ImageServer } from "../../kit/image-server.ts";
import type { Firmware } from "../../rig/machine.ts";
import { run } from "../../rig/programs.ts";
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
      // deploy 11.72: by the removable path.
      if (firmware === "uefi") await node.bootsWithoutVariables();
    },
  };
}

export const partitionImages: readonly Scenario[] = [
  // GRUB of the image, run by the agent.
  partitionImage("virtio", "bios", { bus: "virtio" }),
  // The image's own EFI files.
  partitionImage("nvme", "uefi", { bus: "nvme" }),
];

const NOTE = "kept from the first deployment";
const EPHEMERAL = `mkdir -p /mnt && mount LABEL=ephemeral0 /mnt
echo "root is $(findmnt -no UUID /), ephemeral holds $(cat /mnt/note 2>/dev/null || echo nothing)"
echo "${NOTE}" >/mnt/note; umount /mnt`;

// deploy 11.49, 11.75
export const preserveEphemeral: Scenario = {
  name: "preserve-ephemeral",
  about:
    "rebuilt with another image and preserve_ephemeral: the new system boots, the file on the ephemeral partition is kept",
  async run(stage) {
    const node = await stage.enrol();
    await node.provide();
    const partitions = { rootGiB: 1, swapMiB: 64, ephemeralGiB: 1 };
    await node.deploy({ partitions, userData: EPHEMERAL });
    const { image, network } = stage.site;
    const first = node.managed.machine.consoleText();
    check(
      first.includes(`root is ${image.rootUuid}, ephemeral holds nothing`),
      "the ephemeral partition is empty at first",
      "it is not",
    );

    const directory = join(stage.directory, "other-image");
    const other = await anotherRoot(image.root.file, image.rootUuid, directory);
    await using server = await ImageServer.start({ root: directory, hostname: network.address });
    await node.rebuild({
      partitions: { ...partitions, preserveEphemeral: true },
      ...{ userData: EPHEMERAL, server, sha256: other.sha256 },
    });
    check(
      node.managed.machine.consoleText().includes(`root is ${other.uuid}, ephemeral holds ${NOTE}`),
      "the new image runs and finds the note",
      "it does not",
    );
  },
};

/** The root file system under another UUID, by which GRUB of the first deployment would not find it. */
async function anotherRoot(
  source: string,
  oldUuid: string,
  directory: string,
): Promise<{ uuid: string; sha256: string }> {
  await mkdir(directory);
  const file = join(directory, basename(source));
  const uuid = crypto.randomUUID();
  await copyFile(source, file);
  await run(["tune2fs", "-U", uuid, file]);
  const { stdout } = await run(["debugfs", "-R", "cat /etc/fstab", file]);
  const fstab = join(directory, "fstab");
  await writeFile(fstab, stdout.replaceAll(oldUuid, uuid));
  const script = join(directory, "script");
  await writeFile(script, `cd /etc\nrm fstab\nwrite ${fstab} fstab\n`);
  await run(["debugfs", "-w", "-f", script, file]);
  const sha256 = new Bun.CryptoHasher("sha256").update(await readFile(file)).digest("hex");
  return { uuid, sha256 };
}
