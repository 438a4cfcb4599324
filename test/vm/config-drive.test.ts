// A config drive on a disk with 4096-byte sectors, which cannot hold an ISO that can be mounted: it takes drivers for ISO 9660 and FAT to
// make it anew. A web server in the machine has the image. Run with `bun test test/vm`. deploy 11.60

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { gzipSync } from "node:zlib";
import { loopDevice, tool } from "../support/loop-device.ts";
import { type AgentMachine, askedFor, bootAgent } from "./agent-machine.ts";

const MIB = 2 ** 20;
const TIMEOUT = 1_200_000;
let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/vm-config-drive-`);
});

afterAll(() => rm(directory, { recursive: true }));

/** A disk of the machine with sectors of 4096 bytes, which DiskOptions cannot describe. */
async function wideDisk(serial: string, sizeBytes: number): Promise<string[]> {
  const path = `${directory}/${serial}`;
  await writeFile(path, "");
  await truncate(path, sizeBytes);
  const sectors = "logical_block_size=4096,physical_block_size=4096";
  return [
    ...["-drive", `if=none,id=${serial},format=raw,file=${path}`],
    ...["-device", `virtio-blk-pci,drive=${serial},serial=${serial},${sectors}`],
  ];
}

/** As a conductor sends it: base64 of gzip, of an ISO with a directory, a link and names in both cases. */
async function configDrive(): Promise<string> {
  const tree = `${directory}/config-drive`;
  await mkdir(`${tree}/openstack/latest`, { recursive: true });
  await writeFile(`${tree}/openstack/latest/meta_data.json`, '{"uuid": "the-node"}');
  await writeFile(`${tree}/openstack/latest/User_Data.Long-Name`, "x".repeat(5000));
  await symlink("/etc/shadow", `${tree}/openstack/latest/stolen`);
  await tool("genisoimage", "-quiet", "-J", "-r", "-V", "config-2", "-o", `${tree}.iso`, tree);
  return gzipSync(await readFile(`${tree}.iso`)).toString("base64");
}

/** A GPT of a disk with 4096-byte sectors. */
async function wideImage(): Promise<string> {
  await using disk = await loopDevice(32 * MIB, 4096);
  await tool("sgdisk", "-n", "1:1M:+8M", disk.path);
  await cp(disk.backingFile, `${directory}/image`);
  return `${directory}/image`;
}

/** What the partition holds, by its own word and by that of the kernel's file system. */
async function contentOf(agent: AgentMachine, device: string): Promise<string[]> {
  const output = await agent.shell(
    `blkid -p -o value -s TYPE -s LABEL ${device}; mount -o ro ${device} /mnt && cd /mnt && find . -type f -o -type l | sort; ` +
      `cat openstack/latest/meta_data.json; echo; cd / && umount /mnt`,
  );
  return output.split(/\r?\n/);
}

const LEFT = "losetup --list; ls -d /tmp/ironic-agent-* 2>/dev/null; grep -c ironic-agent /proc/mounts; true";

describe.skipIf(!askedFor)("a config drive on a disk with 4096-byte sectors", () => {
  test(
    "is made anew as FAT, with its files and without its links",
    async () => {
      const image = await wideImage();
      const sha256 = new Bun.CryptoHasher("sha256").update(await readFile(image)).digest("hex");
      await using agent = await bootAgent({
        firmware: "bios",
        disks: [{ bus: "virtio", serial: "IMAGE", file: image, readOnly: true }],
        qemuArguments: await wideDisk("WIDE", 4608 * MIB),
      });
      const disk = await agent.shell("readlink -f /dev/disk/by-id/virtio-WIDE");
      await agent.shell(
        "ip link set lo up; mkdir /tmp/www && cat /dev/disk/by-id/virtio-IMAGE > /tmp/www/image && " +
          "busybox httpd -p 127.0.0.1:8080 -h /tmp/www",
      );
      const before = await agent.shell(LEFT);
      const written = await agent.step("write_image", {
        kind: "deploy",
        node: { instance_info: { root_device: { serial: "WIDE" } } },
        args: {
          image_info: {
            ...{ id: "image", urls: ["http://127.0.0.1:8080/image"] },
            ...{ disk_format: "raw", stream_raw_images: true, os_hash_algo: "sha256", os_hash_value: sha256 },
          },
          configdrive: await configDrive(),
        },
      });
      expect(written).toMatchObject({ status: "SUCCEEDED", error: null });
      const files = ["openstack/latest/User_Data.Long-Name", "openstack/latest/meta_data.json"];
      const rebuilt = ["CONFIG-2", "vfat", ...files.map((path) => `./${path}`), '{"uuid": "the-node"}'];
      expect((await contentOf(agent, `${disk}2`)).sort()).toEqual([...rebuilt].sort());
      expect(await agent.shell(`sgdisk -v ${disk}`)).toContain("No problems found");
      expect(await agent.shell(LEFT)).toBe(before);
    },
    TIMEOUT,
  );
});
