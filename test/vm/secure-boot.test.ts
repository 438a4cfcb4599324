// A deployment on a machine that starts nothing that is not signed (OVMF with Microsoft's keys): the ramdisk comes by shim, too, and its
// kernel is locked down. A partition image that carries signed loaders boots by the entry that the agent writes, and without entries;
// one with a GRUB of its own does not. Run with `bun test test/vm`.

import { describe, expect, test } from "bun:test";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { buildConfigDrive } from "../kit/config-drive.ts";
import { ImageServer } from "../kit/image-server.ts";
import { waitUntilBooted } from "../rig/booted.ts";
import { demoImage } from "../rig/image.ts";
import { run } from "../rig/programs.ts";
import { signedLoaders } from "../rig/signed-loaders.ts";
import { type AgentMachine, askedFor, bootAgent, HOST_URL, RAMDISK_MEDIUM } from "./agent-machine.ts";

const WORK = resolve(import.meta.dir, "../../.cache/vm");
const TIMEOUT = 3_600_000;
const wait = { timeout: 900_000, signal: AbortSignal.timeout(TIMEOUT) };
const LOADERS = ["shimx64.efi", "mmx64.efi", "fbx64.efi", "grubx64.efi"];

/** The demo's root file system with Debian's signed loaders in place of the rig's, as shim-signed's packages leave them. */
async function signedImage(directory: string): Promise<{ file: string; uuid: string }> {
  const { root, rootUuid } = await demoImage({ report: console.log });
  const file = join(directory, "root.raw");
  await cp(root.file, file);
  const csv = join(directory, "BOOTX64.CSV");
  await writeFile(
    csv,
    Buffer.from("\ufeffshimx64.efi,debian,,This is the boot entry for debian\n", "utf16le"),
  );
  const vendor = "/boot/efi/EFI/debian";
  const signed = await signedLoaders();
  const commands = [
    ...["rm /boot/efi/EFI/BOOT/BOOTX64.EFI", "rmdir /boot/efi/EFI/BOOT"],
    ...[`rm ${vendor}/grubx64.efi`, `rm ${vendor}/BOOTX64.CSV`, `write ${csv} ${vendor}/BOOTX64.CSV`],
    ...LOADERS.map((name) => `write ${join(signed, name)} ${vendor}/${name}`),
  ];
  const script = join(directory, "debugfs");
  await writeFile(script, `${commands.join("\n")}\n`);
  await run(["debugfs", "-w", "-f", script, file]);
  return { file, uuid: rootUuid };
}

async function sha256(path: string): Promise<string> {
  return new Bun.CryptoHasher("sha256").update(await Bun.file(path).bytes()).digest("hex");
}

/** Output of a command while a partition of the install device is mounted on /tmp/mounted. */
async function onPartition(agent: AgentMachine, partition: unknown, command: string): Promise<string> {
  return await agent.shell(
    `mkdir -p /tmp/mounted && mount -o ro ${partition} /tmp/mounted && (${command}); umount /tmp/mounted`,
  );
}

describe.skipIf(!askedFor)("Secure Boot", () => {
  test(
    "a partition image with signed loaders boots, with and without the agent's entry; an unsigned one does not (deploy 11.71, 11.72)",
    async () => {
      await mkdir(WORK, { recursive: true });
      const directory = await mkdtemp(`${WORK}/`);
      const image = await signedImage(directory);
      await using server = await ImageServer.start({ root: directory, hostname: "127.0.0.1" });
      const node = { uuid: crypto.randomUUID(), name: "signed" };
      const configdrive = await buildConfigDrive(
        { user_data: "#!/bin/sh\ndmesg | grep -i 'secure boot' >/dev/console\n" },
        node,
      );
      await using agent = await bootAgent({
        ...{ firmware: "uefi", secureBoot: true },
        disks: [{ bus: "virtio", serial: "SIGNED1", sizeBytes: 5 * 2 ** 30 }],
        hostPort: Number(new URL(server.urlOf("root.raw")).port),
      });
      expect(await agent.shell("dmesg | grep -ci 'secure boot enabled'")).not.toBe("0");
      const { status, error } = await agent.step("write_image", {
        kind: "deploy",
        node: { ...node, properties: { capabilities: "boot_mode:uefi,secure_boot:true" } },
        args: {
          configdrive,
          image_info: {
            ...{ id: "signed", urls: [`${HOST_URL}/${basename(image.file)}`], disk_format: "raw" },
            ...{ stream_raw_images: true, os_hash_algo: "sha256", os_hash_value: await sha256(image.file) },
            ...{ image_type: "partition", root_mb: 1024, deploy_boot_mode: "uefi", boot_option: "local" },
          },
        },
      });
      expect({ status, error }).toEqual({ status: "SUCCEEDED", error: null });
      const uuids = (await agent.post("standby.get_partition_uuids")).command_result as Record<
        string,
        unknown
      >;
      const install = () =>
        agent.command("image.install_bootloader", {
          root_uuid: uuids["root uuid"] as string,
          efi_system_part_uuid: uuids["efi system partition uuid"] as string,
          target_boot_mode: "uefi",
        });
      for (const _run of ["first", "second"])
        expect(await install()).toMatchObject({ command_status: "SUCCEEDED", command_error: null });

      const partitions = uuids.partitions as Record<string, unknown>;
      expect(await onPartition(agent, partitions.root, "grep -c /boot/efi /tmp/mounted/etc/fstab")).toBe("1");
      const sums = await onPartition(
        agent,
        partitions["efi system partition"],
        "cd /tmp/mounted/EFI && sha256sum debian/*.efi BOOT/*",
      );
      const signed = await signedLoaders();
      for (const name of LOADERS)
        expect(sums).toContain(`${await sha256(join(signed, name))}  debian/${name}`);
      expect(sums).toContain(`${await sha256(join(signed, "shimx64.efi"))}  BOOT/BOOTX64.EFI`);
      const entries = await agent.shell("efibootmgr -v");
      expect(entries.match(/^Boot[0-9A-F]{4}\* debian\b.*shimx64\.efi/gim)).toHaveLength(1);
      await agent.shell("sync; blockdev --flushbufs /dev/vda");

      const { machine } = agent;
      for (const how of ["by the agent's entry", "by the removable path, the variables lost"]) {
        await machine.powerOff();
        if (how.includes("lost")) await machine.resetVariables();
        await machine.start({ disk: true, without: RAMDISK_MEDIUM });
        await waitUntilBooted(machine, { uuid: node.uuid, boot: "uefi" }, wait);
        if (!how.includes("lost")) await machine.waitForConsole(/secure boot enabled/i, wait);
      }

      // The firmware is strict: with the rig's own GRUB in shim's place it starts nothing.
      await machine.powerOff();
      await machine.resetVariables();
      const [disk = ""] = machine.diskFiles;
      await cp((await demoImage()).raw.file, disk);
      await machine.start({ disk: true, without: RAMDISK_MEDIUM });
      await machine.waitForConsole(/failed to load Boot\d+ .*Access Denied/, wait);
      await rm(directory, { recursive: true });
    },
    TIMEOUT,
  );
});
