// GRUB for a root file system in a logical volume, which takes the device mapper: the image is stood in for by a file system with the
// ramdisk's own shell and scripts in place of GRUB's programs. Run with `bun test test/vm`.

import { describe, expect, test } from "bun:test";
import { askedFor, bootAgent } from "./agent-machine.ts";

const TIMEOUT = 1_200_000;
const ROOT = "7c3b1a52-0d0e-4a6b-9a1f-3f6f0e4f9d21";

/** Makes the volume group on the first partition, and the image in it. */
const PREPARE = `parted -s /dev/vda mklabel msdos mkpart primary 1MiB 100% set 1 boot on && udevadm settle &&
pvcreate -q -y /dev/vda1 && vgcreate -q system /dev/vda1 && lvcreate -q -y -W n -L 64M -n root system &&
mkfs.ext4 -q -U ${ROOT} /dev/system/root && mkdir -p /tmp/image && mount /dev/system/root /tmp/image &&
mkdir -p /tmp/image/bin /tmp/image/lib64 /tmp/image/usr/sbin /tmp/image/etc /tmp/image/boot /tmp/image/proc &&
cp /bin/busybox /tmp/image/bin/sh && cp -L /lib64/ld-linux-x86-64.so.2 /tmp/image/lib64 &&
for library in $(/lib64/ld-linux-x86-64.so.2 --list /bin/busybox | grep -o '/[^ ]*'); do
mkdir -p /tmp/image$(dirname $library) && cp -L $library /tmp/image$library; done &&
printf '#!/bin/sh\\necho "install $@" >>/asked\\n' >/tmp/image/usr/sbin/grub-install &&
printf '#!/bin/sh\\necho "mkconfig $@" >>/asked\\n' >/tmp/image/usr/sbin/grub-mkconfig &&
chmod 755 /tmp/image/usr/sbin/grub-install /tmp/image/usr/sbin/grub-mkconfig &&
umount /tmp/image && vgchange -q -an system`;

describe.skipIf(!askedFor)("a root file system in a logical volume", () => {
  test(
    "is found, GRUB is installed on its disk, and the volume group is off again (deploy 11.82, 11.83)",
    async () => {
      await using agent = await bootAgent({
        firmware: "bios",
        disks: [{ bus: "virtio", serial: "LVM1", sizeBytes: 5 * 2 ** 30 }],
        configuration: "enable_bios_bootloader_install = true\n",
      });
      await agent.shell(PREPARE);
      const installed = await agent.command("image.install_bootloader", {
        root_uuid: ROOT,
        target_boot_mode: "bios",
      });
      expect(installed).toMatchObject({ command_status: "SUCCEEDED", command_error: null });
      expect(await agent.shell("dmsetup ls --target linear | grep -c system-; true")).toBe("0");
      expect(await agent.shell("grep -c ironic-agent-mount /proc/mounts; true")).toBe("0");
      const asked = await agent.shell(
        "vgchange -q -ay system && mount /dev/system/root /tmp/image && cat /tmp/image/asked; umount /tmp/image",
      );
      expect(asked).toContain("install /dev/vda");
      expect(asked).toContain("mkconfig -o /boot/grub/grub.cfg");
    },
    TIMEOUT,
  );
});
