// A disk with sectors of 4096 bytes, which cannot hold the ISO file system of 2048-byte blocks that every conductor sends as a config drive:
// it is made anew as FAT, and the deployed system finds it. Run with `bun test test/vm`.

import { describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import type { JsonObject } from "../../src/json.ts";
import { buildConfigDrive } from "../kit/config-drive.ts";
import { ImageServer } from "../kit/image-server.ts";
import { waitUntilBooted } from "../rig/booted.ts";
import { type DemoImage, demoImage, type ImageFile } from "../rig/image.ts";
import { run } from "../rig/programs.ts";
import { type AgentMachine, askedFor, bootAgent, HOST_URL } from "./agent-machine.ts";

const WORK = resolve(import.meta.dir, "../../.cache/vm");
const GIB = 2 ** 30;
const TIMEOUT = 3_600_000;
const wait = { timeout: 900_000, signal: AbortSignal.timeout(TIMEOUT) };
const USER_DATA = "#!/bin/sh\necho large sectors >/dev/console\n";

const node = (serial: string) => ({
  ...{ uuid: crypto.randomUUID(), name: "sectors" },
  properties: { capabilities: "boot_mode:uefi", root_device: { serial } },
});

/** The demo's root file system with blocks of 4096 bytes: no kernel mounts one with blocks smaller than the disk's sectors. */
async function withLargeBlocks({ root, rootUuid }: DemoImage, directory: string): Promise<ImageFile> {
  const [tree, file] = [join(directory, "tree"), join(directory, "root.raw")];
  await mkdir(tree);
  await run(["debugfs", "-R", `rdump / ${tree}`, root.file]);
  await run([
    "mke2fs",
    "-q",
    "-t",
    "ext4",
    "-b",
    "4096",
    "-U",
    rootUuid,
    "-m",
    "1",
    "-d",
    tree,
    file,
    "448M",
  ]);
  await rm(tree, { recursive: true });
  const sha256 = new Bun.CryptoHasher("sha256").update(await Bun.file(file).bytes()).digest("hex");
  return { ...root, file, sha256, sizeBytes: Bun.file(file).size };
}

async function deploy(
  agent: AgentMachine,
  image: ImageFile,
  { uuid, name, properties }: ReturnType<typeof node>,
  more: JsonObject,
): Promise<void> {
  const { status, error } = await agent.step("write_image", {
    kind: "deploy",
    node: { uuid, name, properties },
    args: {
      configdrive: await buildConfigDrive({ user_data: USER_DATA }, { uuid, name }),
      image_info: {
        ...{ id: "sectors", urls: [`${HOST_URL}/${basename(image.file)}`], disk_format: "raw" },
        ...{ stream_raw_images: true, os_hash_algo: "sha256", os_hash_value: image.sha256 },
        ...more,
      },
    },
  });
  expect({ status, error }).toEqual({ status: "SUCCEEDED", error: null });
}

/** What is in the file system labelled CONFIG-2 on a disk; there is exactly one, and it is FAT. */
async function configDriveOf(agent: AgentMachine, disk: string): Promise<string> {
  return await agent.shell(
    `set -e; device=$(blkid -o device -t LABEL=CONFIG-2 ${disk}[0-9]*); blkid -p -s TYPE -o value $device; ` +
      "mkdir -p /tmp/drive; mount -o ro $device /tmp/drive; cd /tmp/drive/openstack; ls; " +
      'grep -o \'"uuid": *"[^"]*\' latest/meta_data.json; cat latest/user_data; cd /; umount /tmp/drive',
  );
}

describe.skipIf(!askedFor)("sectors of 4096 bytes", () => {
  test(
    "the config drive is made anew as FAT, and the system boots with it; where FAT is wanted, on any disk (deploy 11.60)",
    async () => {
      const image = await demoImage({ report: console.log });
      await mkdir(WORK, { recursive: true });
      const directory = await mkdtemp(`${WORK}/`);
      const root = await withLargeBlocks(image, directory);
      await symlink(image.raw.file, join(directory, basename(image.raw.file)));
      await using server = await ImageServer.start({ root: directory, hostname: "127.0.0.1" });
      await using agent = await bootAgent({
        firmware: "uefi",
        disks: [
          { bus: "virtio", serial: "LARGE1", sizeBytes: 5 * GIB, sectorSize: 4096 },
          { bus: "virtio", serial: "SMALL1", sizeBytes: 5 * GIB },
        ],
        hostPort: Number(new URL(server.urlOf("root.raw")).port),
      });
      const large = node("LARGE1");
      const partition = { image_type: "partition", root_mb: 1024, deploy_boot_mode: "uefi" };
      await deploy(agent, root, large, { ...partition, boot_option: "local" });
      const uuids = (await agent.post("standby.get_partition_uuids")).command_result as JsonObject;
      const installed = await agent.command("image.install_bootloader", {
        root_uuid: uuids["root uuid"] as string,
        efi_system_part_uuid: uuids["efi system partition uuid"] as string,
        target_boot_mode: "uefi",
      });
      expect(installed).toMatchObject({ command_status: "SUCCEEDED", command_error: null });
      expect(await agent.shell("blockdev --getss /dev/vda")).toBe("4096");
      const drive = await configDriveOf(agent, "/dev/vda");
      for (const part of ["vfat", "2012-08-10", "latest", large.uuid, "echo large sectors"])
        expect(drive).toContain(part);

      await agent.shell("echo 'config_drive_rebuild = true' >>/etc/ironic-python-agent.d/vm.conf");
      await agent.restart();
      const small = node("SMALL1");
      await deploy(agent, image.raw, small, {});
      expect(await agent.shell("blockdev --getss /dev/vdb")).toBe("512");
      const rebuilt = await configDriveOf(agent, "/dev/vdb");
      for (const part of ["vfat", "latest", small.uuid]) expect(rebuilt).toContain(part);
      await agent.shell("sync; blockdev --flushbufs /dev/vda; blockdev --flushbufs /dev/vdb");

      await agent.machine.powerOff();
      await agent.machine.start({ disk: true, without: "SMALL1" });
      await waitUntilBooted(agent.machine, { uuid: large.uuid, boot: "uefi" }, wait);
      await agent.machine.waitForConsole(/large sectors/, wait);
      await rm(directory, { recursive: true });
    },
    TIMEOUT,
  );
});
