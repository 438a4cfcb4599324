// A deployment to a mirror of two disks on a machine with a BIOS, which can start from a single disk only: GRUB has to be on both of
// them. Run with `bun test test/vm`. test/ironic has the same in UEFI mode, with the real Ironic.

import { describe, expect, test } from "bun:test";
import { buildConfigDrive } from "../kit/config-drive.ts";
import { ImageServer } from "../kit/image-server.ts";
import { waitUntilBooted } from "../rig/booted.ts";
import { demoImage } from "../rig/image.ts";
import { type AgentMachine, askedFor, bootAgent, HOST_URL } from "./agent-machine.ts";

const TIMEOUT = 3_600_000;
const SERIALS = ["MIRROR1", "MIRROR2"];

/** Number, first sector and name of each partition of both disks. */
async function partitions(agent: AgentMachine): Promise<string> {
  return await agent.shell("for disk in vda vdb; do partx -o NR,START,NAME -r -g /dev/$disk; done");
}

describe.skipIf(!askedFor)("a mirror, BIOS, GPT", () => {
  test(
    "has GRUB on both disks, boots with either of them gone, and gets no new partitions by another deployment (deploy 11.80)",
    async () => {
      const image = await demoImage({ report: console.log });
      await using server = await ImageServer.start({ root: image.raw.file, hostname: "127.0.0.1" });
      await using agent = await bootAgent({
        firmware: "bios",
        disks: SERIALS.map((serial) => ({ bus: "virtio", serial, sizeBytes: 6 * 2 ** 30 })),
        configuration: "enable_bios_bootloader_install = true\n",
        hostPort: Number(new URL(server.urlOf("image.raw")).port),
      });
      const node = {
        ...{ uuid: crypto.randomUUID(), name: "mirror" },
        properties: { capabilities: "boot_mode:bios,disk_label:gpt" },
        target_raid_config: {
          logical_disks: [{ controller: "software", raid_level: "1", size_gb: "MAX", is_root_volume: true }],
        },
      };
      const created = await agent.step("create_configuration", { interface: "raid", node });
      expect({ status: created.status, error: created.error }).toEqual({ status: "SUCCEEDED", error: null });

      const configdrive = await buildConfigDrive({}, node);
      const seen: string[] = [];
      for (const id of ["first", "second"]) {
        const { status, error, result } = await agent.step("write_image", {
          ...{ kind: "deploy", node },
          args: {
            configdrive,
            image_info: {
              ...{ id, urls: [`${HOST_URL}/image.raw`], disk_format: "raw", stream_raw_images: true },
              ...{ os_hash_algo: "sha256", os_hash_value: image.raw.sha256 },
            },
          },
        });
        expect({ status, error }).toEqual({ status: "SUCCEEDED", error: null });
        expect(result).toMatchObject({
          result: expect.stringContaining("written to device /dev/md0") as never,
        });
        const installed = await agent.command("image.install_bootloader", {
          ...{ root_uuid: image.rootUuid, target_boot_mode: "bios" },
        });
        expect(installed).toMatchObject({ command_status: "SUCCEEDED", command_error: null });
        seen.push(await partitions(agent));
      }
      expect(seen[0]?.match(/bios-boot-part-/g)).toHaveLength(2);
      expect(seen[1]).toBe(seen[0] ?? "");
      for (const disk of ["vda", "vdb"])
        expect(await agent.shell(`head -c 440 /dev/${disk} | grep -c GRUB`)).toBe("1");
      await agent.shell("sync; blockdev --flushbufs /dev/vda; blockdev --flushbufs /dev/vdb");

      const wait = { timeout: 900_000, signal: AbortSignal.timeout(TIMEOUT) };
      for (const gone of SERIALS) {
        await agent.machine.powerOff();
        await agent.machine.start({ disk: true, without: gone });
        const { root } = await waitUntilBooted(agent.machine, { uuid: node.uuid, boot: "bios" }, wait);
        expect(root).toStartWith("/dev/md");
      }
    },
    TIMEOUT,
  );
});
