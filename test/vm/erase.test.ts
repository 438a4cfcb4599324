// Erasing for real, in QEMU: virtio, SATA and NVMe disks full of something, erased by the agent's executable, and looked at from
// outside afterwards, in the files they are to QEMU. QEMU's drives have no ATA security. Run with `bun test test/vm`.

import { describe, expect, test } from "bun:test";
import { open } from "node:fs/promises";
import { type AgentMachine, askedFor, bootAgent } from "./agent-machine.ts";

const MIB = 2 ** 20;
const TIMEOUT = 1_200_000;

describe.skipIf(!askedFor)("a machine with disks of all kinds", () => {
  test(
    "loses its metadata, its NVMe namespaces, and then everything",
    async () => {
      await using agent = await bootAgent({
        firmware: "bios",
        disks: [
          { bus: "virtio", serial: "DISK1", sizeBytes: 64 * MIB },
          { bus: "virtio", serial: "DISK2", sizeBytes: 64 * MIB },
          { bus: "sata", serial: "SATA1", sizeBytes: 32 * MIB },
          { bus: "nvme", serial: "NVME1", sizeBytes: 32 * MIB },
          { bus: "virtio", serial: "LOCKED", sizeBytes: 16 * MIB, readOnly: true },
        ],
      });
      const files = agent.machine.diskFiles.slice(0, 4);

      // hardware 13.57, 13.62: by default a read-only disk is an error, but the others are erased all the same.
      await fill(agent);
      const refused = await agent.step("erase_devices");
      expect(refused).toMatchObject({ status: "FAILED", error: { type: "BlockDeviceEraseError" } });
      expect(refused.error?.details).toMatch(/\/dev\/vdc is read-only/);
      for (const file of files) expect(await nonZero(file)).toBe(0);

      await fill(agent);
      const node = {
        driver_internal_info: {
          agent_erase_skip_read_only: true,
          disk_erasure_concurrency: 2,
          agent_erase_devices_iterations: 2,
          agent_erase_devices_zeroize: false,
        },
      };
      const erased = await agent.step("erase_devices", { node });
      expect(erased).toMatchObject({ status: "SUCCEEDED", error: null });
      const checked = { checked: true, unchanged: 0, unreadable: 0 };
      expect(erased.result).toMatchObject({
        "/dev/vda": { serial: "DISK1", method: "shred", verification: { ...checked, changed: 64 } },
        "/dev/vdb": { serial: "DISK2", method: "shred", verification: { ...checked, changed: 64 } },
        "/dev/sda": { serial: "SATA1", method: "shred", verification: { ...checked, changed: 64 } },
        "/dev/nvme0n1": {
          serial: "NVME1",
          method: "nvme-format-user-data",
          verification: { ...checked, blank: 64 },
        },
        "/dev/vdc": { serial: "LOCKED", method: "none", reason: "read-only" },
      });
      expect(erased.progress.some(({ phase }) => String(phase).includes("shred, pass 2 of 2"))).toBe(true);
      // Random, not zeros, as the node wanted it; not one byte of the pattern is left where it was.
      const [first = "", , , nvme = ""] = files;
      expect(await nonZero(first)).toBeGreaterThan(62 * MIB);
      expect(await nonZero(nvme)).toBe(0);

      // hardware 13.71: the controller erases NVMe, the others lose their tables and signatures.
      await fill(agent);
      await agent.shell(
        "sgdisk -n 1:0:0 /dev/vda && partprobe /dev/vda && udevadm settle && mkfs.ext4 -q -E nodiscard /dev/vda1",
      );
      await agent.shell("sgdisk -n 1:0:0 /dev/nvme0n1 && partprobe /dev/nvme0n1 && udevadm settle");
      const express = await agent.step("erase_devices_express");
      expect(express).toMatchObject({ status: "SUCCEEDED", error: null });
      expect(express.result).toMatchObject({
        "/dev/nvme0n1": { method: "nvme-format-user-data" },
        "/dev/nvme0n1p1": { method: "with its disk" },
        "/dev/vda": { method: "metadata" },
        "/dev/vda1": { method: "metadata" },
      });
      expect(await nonZero(nvme)).toBe(0);
      expect(await nonZero(first)).toBeGreaterThan(32 * MIB);
      expect(await agent.shell("wipefs --noheadings /dev/vda /dev/nvme0n1")).toBe("");

      await agent.shell("sgdisk -n 1:0:0 /dev/vdb && mkfs.ext4 -q -F -E nodiscard /dev/sda");
      expect(await agent.step("erase_devices_metadata", { kind: "deploy" })).toMatchObject({
        ...{ status: "SUCCEEDED", error: null, result: null },
      });
      expect(await agent.shell("wipefs --noheadings /dev/vdb /dev/sda")).toBe("");

      // hardware 13.65: members are left alone, their array is erased. 13.70: shared file systems are not touched.
      await agent.shell(
        "mdadm --create /dev/md0 --run --metadata=1.2 --level 1 --raid-devices 2 /dev/vda /dev/vdb",
      );
      const withArray = await agent.step("erase_devices", {
        node: { driver_internal_info: { agent_erase_skip_read_only: true } },
      });
      expect(withArray).toMatchObject({ status: "SUCCEEDED", error: null });
      expect(withArray.result).toMatchObject({
        "/dev/md0": { method: "shred" },
        "/dev/vda": { method: "none", reason: "a member of a RAID array" },
      });
      expect(await agent.shell("cat /sys/block/md0/md/array_state")).toMatch(/^(?:clean|active)/);
      await agent.shell(
        "sgdisk -n 1:0:0 -t 1:AA31E02A-400F-11DB-9590-000C2911D1B8 /dev/sda && partprobe /dev/sda",
      );
      const shared = await agent.step("erase_devices");
      expect(shared).toMatchObject({ status: "FAILED", error: { type: "ProtectedDeviceError" } });
      expect(shared.error?.details).toContain("/dev/sda");
    },
    TIMEOUT,
  );
});

describe.skipIf(!askedFor)("an erase that is cut short", () => {
  test(
    "takes shred with it, and is done by the next one",
    async () => {
      await using agent = await bootAgent({
        firmware: "bios",
        disks: [{ bus: "virtio", serial: "DISK1", sizeBytes: 1024 * MIB }],
      });
      // The agent goes away in the middle, so nobody answers how it ended.
      const cut = agent.step("erase_devices").catch(() => null);
      await agent.shell("while ! pidof shred; do sleep 0.2; done");
      await agent.restart();
      await cut;
      expect(await agent.shell("pidof shred; true")).toBe("");
      const again = await agent.step("erase_devices");
      expect(again).toMatchObject({ status: "SUCCEEDED", error: null });
      expect(again.result).toMatchObject({
        "/dev/vda": { method: "shred", verification: { checked: true, unchanged: 0 } },
      });
      expect(again.progress.some(({ remaining }) => typeof remaining === "number")).toBe(true);
      expect(await nonZero(agent.machine.diskFiles[0] ?? "")).toBe(0);
    },
    TIMEOUT,
  );
});

/** Something that is neither blank nor the same anywhere, written from outside: an emulated processor would take minutes. */
async function fill(agent: AgentMachine): Promise<void> {
  for (const [index, path] of agent.machine.diskFiles.slice(0, 4).entries()) {
    await using file = await open(path, "r+");
    const { size } = await file.stat();
    const block = new Uint8Array(MIB).map((_, at) => 1 + ((at * 31 + index + (at >> 9)) % 250));
    for (let at = 0; at < size; at += MIB) {
      new DataView(block.buffer).setUint32(0, at, true);
      await file.write(block, 0, MIB, at);
    }
  }
  await agent.shell("for disk in vda vdb sda nvme0n1; do blockdev --flushbufs /dev/$disk; done");
}

/** Bytes that are not zero; holes of the sparse file are skipped over by their content. */
async function nonZero(path: string): Promise<number> {
  await using file = await open(path, "r");
  const buffer = new Uint8Array(4 * MIB);
  let count = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length);
    if (bytesRead === 0) return count;
    for (let index = 0; index < bytesRead; index += 1) if (buffer[index] !== 0) count += 1;
  }
}
