// Software RAID for real, in QEMU: the agent's executable is commanded through its API, and mdadm, parted and the kernel are asked what came of
// it. Run with `bun test test/vm`.

import { describe, expect, test } from "bun:test";
import { type AgentMachine, askedFor, bootAgent } from "./agent-machine.ts";

const GIB = 2 ** 30;
const TIMEOUT = 1_200_000;
const BIOS = { properties: { capabilities: "boot_mode:bios" } };

function disks(count: number, sizeBytes: number) {
  return Array.from({ length: count }, (_, index) => ({
    bus: "virtio" as const,
    serial: `DISK${index + 1}`,
    sizeBytes,
  }));
}

/** `1 2048 2097151` per partition: number, first and last sector. */
async function partitions(agent: AgentMachine, disk: string): Promise<string[]> {
  const output = await agent.shell(`parted -s -m ${disk} unit s print`);
  return output
    .split("\n")
    .filter((line) => /^\d+:/.test(line))
    .map((line) => line.split(":").slice(0, 3).join(" ").replaceAll("s", ""));
}

async function arrays(agent: AgentMachine): Promise<string[]> {
  const output = await agent.shell("cat /proc/mdstat");
  return output
    .split("\n")
    .filter((line) => line.startsWith("md"))
    .map((line) => line.replaceAll(/\[\d+\](?:\(\w\))?/g, "").trim())
    .sort();
}

async function superblocks(agent: AgentMachine): Promise<string> {
  return agent.shell("mdadm --examine --scan; true");
}

function software(...logicalDisks: object[]) {
  return { logical_disks: logicalDisks.map((disk) => ({ controller: "software", ...disk })) } as never;
}

describe.skipIf(!askedFor)("two disks, BIOS", () => {
  // hardware 13.74, 13.81, 13.83, contract 10.40
  test(
    "RAID 1 of 1 GiB and RAID 0 of the rest, and away with both",
    async () => {
      await using agent = await bootAgent({ firmware: "bios", disks: disks(2, 7 * GIB) });
      const config = software(
        { raid_level: "1", size_gb: 1, volume_name: "root" },
        { raid_level: "0", size_gb: "MAX" },
      );
      const node = { ...BIOS, target_raid_config: config };
      const created = await agent.step("create_configuration", { interface: "raid", node });
      expect(created).toMatchObject({ status: "SUCCEEDED", error: null, result: config });
      expect(await arrays(agent)).toEqual(["md0 : active raid1 vdb1 vda1", "md1 : active raid0 vdb2 vda2"]);
      const layout = ["1 2048 2097151", "2 2097152 14678015"];
      expect([await partitions(agent, "/dev/vda"), await partitions(agent, "/dev/vdb")]).toEqual([
        layout,
        layout,
      ]);
      expect(await agent.shell("mdadm --detail /dev/md0")).toContain(":root ");
      expect(await agent.shell("mdadm --detail /dev/md1")).toContain(":md1 ");

      // hardware 13.79: what has partitions is not taken, and nothing is written.
      const again = await agent.step("create_configuration", { interface: "raid", node });
      expect(again).toMatchObject({ status: "FAILED", error: { type: "SoftwareRAIDError" } });
      expect(again.error?.details).toContain("/dev/vda");
      expect(again.error?.details).toContain("/dev/vdb");
      expect(await arrays(agent)).toHaveLength(2);

      const deleted = await agent.step("delete_configuration", { interface: "raid", node });
      expect(deleted).toMatchObject({ status: "SUCCEEDED", error: null, result: null });
      expect(await arrays(agent)).toEqual([]);
      expect(await superblocks(agent)).toBe("");
      expect(await agent.shell("wipefs --noheadings /dev/vda /dev/vdb")).toBe("");
      expect(await agent.shell("ls /dev/vd*")).toBe("/dev/vda  /dev/vdb");
      // On clean disks it runs one pass and succeeds.
      expect(await agent.step("delete_configuration", { interface: "raid", node })).toMatchObject({
        status: "SUCCEEDED",
      });
      expect(await agent.step("create_configuration", { interface: "raid", node })).toMatchObject({
        status: "SUCCEEDED",
      });
    },
    TIMEOUT,
  );
});

describe.skipIf(!askedFor)("four disks, UEFI", () => {
  const UEFI = { properties: { capabilities: "boot_mode:uefi" } };

  test(
    "a mirror and a 1+0 by hints, on virtio and NVMe; sync with progress; a broken one and foreign ones go as well",
    async () => {
      await using agent = await bootAgent({
        firmware: "uefi",
        disks: [
          ...disks(2, 5 * GIB),
          { bus: "nvme", serial: "NVME1", sizeBytes: 5 * GIB },
          { bus: "nvme", serial: "NVME2", sizeBytes: 5 * GIB },
          { bus: "sata", serial: "SPARE1", sizeBytes: GIB },
          { bus: "sata", serial: "SPARE2", sizeBytes: GIB },
        ],
      });
      const four = ["DISK1", "DISK2", "NVME1", "NVME2"].map((serial) => ({ serial }));
      const config = software(
        { raid_level: "1", size_gb: 1, physical_disks: four.slice(2), is_root_volume: true },
        { raid_level: "1+0", size_gb: 2, physical_disks: four },
      );
      const apply = { kind: "deploy", interface: "raid", node: UEFI } as const;
      const applied = await agent.step("apply_configuration", { ...apply, args: { raid_config: config } });
      expect(applied).toMatchObject({ status: "SUCCEEDED", error: null, result: config });
      // hardware 13.77, 13.78: members by number on each disk, NVMe's with a p.
      expect(await arrays(agent)).toEqual([
        expect.stringMatching(/^md0 : active (\(auto-read-only\) )?raid1 nvme1n1p1 nvme0n1p1$/) as never,
        expect.stringMatching(
          /^md1 : active (\(auto-read-only\) )?raid10 nvme1n1p2 nvme0n1p2 vdb1 vda1$/,
        ) as never,
      ]);
      expect(await agent.shell("parted -s -m /dev/vda print | sed -n 2p")).toContain(":gpt:");
      // The first one leaves room for an EFI system partition: hardware 13.74.
      expect(await partitions(agent, "/dev/vda")).toEqual(["1 1128448 4194303"]);
      expect(await partitions(agent, "/dev/nvme0n1")).toEqual(["1 1128448 2097151", "2 2097152 6291455"]);

      // Foreign: whole disks, with a partition on the array; then one that cannot start; then one that lost a member.
      await agent.shell(
        "mdadm --create /dev/md9 --run --metadata=1.2 --level 1 --raid-devices 2 /dev/sda /dev/sdb && " +
          "sgdisk -n 1:0:0 /dev/md9 && partprobe /dev/md9 && udevadm settle && ls /dev/md9p1",
      );
      await agent.shell("mdadm /dev/md0 --fail /dev/nvme1n1p1 --remove /dev/nvme1n1p1");
      await agent.shell(
        "mdadm --stop /dev/md1 && mdadm -I /dev/vda1; mdadm --detail /dev/md1 | grep inactive",
      );
      const deleted = await agent.step("delete_configuration", { interface: "raid", node: UEFI });
      expect(deleted).toMatchObject({ status: "SUCCEEDED", error: null });
      expect(await arrays(agent)).toEqual([]);
      expect(await superblocks(agent)).toBe("");
      const every = "/dev/vda /dev/vdb /dev/nvme0n1 /dev/nvme1n1 /dev/sda /dev/sdb";
      expect(await agent.shell(`wipefs --noheadings ${every}`)).toBe("");
    },
    TIMEOUT,
  );
});

describe.skipIf(!askedFor)("three disks", () => {
  test(
    "a mirror and a RAID 5, waited for until they are in sync; arrays that are to be kept are kept",
    async () => {
      await using agent = await bootAgent({
        firmware: "bios",
        disks: disks(3, 1.5 * GIB),
        configuration: "raid_wait_for_sync = true\n",
      });
      const node = { properties: { capabilities: { boot_mode: "bios", disk_label: "gpt" } } };
      const config = software(
        { raid_level: "1", size_gb: 1, volume_name: "root" },
        { raid_level: "5", size_gb: "MAX", volume_name: "data" },
      );
      const raid = { interface: "raid" } as const;
      const created = await agent.step("create_configuration", {
        ...raid,
        node: { ...node, target_raid_config: config },
      });
      expect(created).toMatchObject({ status: "SUCCEEDED", error: null, result: config });
      // The mirror is synchronised at 20 MB/s, as the ramdisk limits it, and the step says how far it is.
      expect(await agent.shell("cat /sys/block/md0/md/sync_action")).toBe("idle");
      const syncing = created.progress.filter(({ phase }) => String(phase).includes("/dev/md0: resync"));
      expect(syncing.length).toBeGreaterThan(1);
      expect(syncing.at(-1)!.done as number).toBeGreaterThan(syncing[0]!.done as number);
      expect(await agent.shell("cat /sys/block/md0/md/level /sys/block/md1/md/level")).toMatch(
        /^raid1\s+raid5$/,
      );
      // hardware 13.75: GPT in BIOS mode leaves 8 MiB for a BIOS boot partition.
      expect((await partitions(agent, "/dev/vda"))[0]).toBe("1 16384 2097151");

      // hardware 13.84: data is kept with all that shares its disks; root is emptied and keeps its place.
      const skipping = {
        ...node,
        properties: { ...node.properties, skip_block_devices: [{ volume_name: "data" }] },
        target_raid_config: config,
      };
      await agent.shell("mkfs.ext4 -q /dev/md0 && mkfs.ext4 -q -L precious /dev/md1");
      expect(await agent.step("delete_configuration", { ...raid, node: skipping })).toMatchObject({
        status: "SUCCEEDED",
      });
      expect(await arrays(agent)).toHaveLength(2);
      expect(await agent.shell("wipefs --noheadings /dev/md0; blkid -s LABEL -o value /dev/md1")).toBe(
        "precious",
      );
      expect(await agent.step("create_configuration", { ...raid, node: skipping })).toMatchObject({
        ...{ status: "SUCCEEDED", error: null, result: config },
      });
      for (const step of ["erase_devices_metadata", "erase_devices_express"])
        expect(await agent.step(step, { node: skipping })).toMatchObject({
          status: "SUCCEEDED",
          error: null,
        });
      expect(await arrays(agent)).toHaveLength(2);
      expect(await agent.shell("blkid -s LABEL -o value /dev/md1")).toBe("precious");
      // Without the list everything goes.
      expect(await agent.step("delete_configuration", { ...raid, node })).toMatchObject({
        status: "SUCCEEDED",
      });
      expect(await superblocks(agent)).toBe("");
    },
    TIMEOUT,
  );
});
