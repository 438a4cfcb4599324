// A deployment that is torn: the plug is pulled at random moments of a write, or the disk refuses to take a block in the middle
// (QEMU's blkdebug). Afterwards the disk holds the whole image or nothing that boots, and the next deployment works.
// test/steps/power-cut.test.ts and boot-hold.test.ts have every moment, without a machine. Run with `bun test test/vm`.

import { describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, open, rm, truncate, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { buildConfigDrive } from "../kit/config-drive.ts";
import { ImageServer } from "../kit/image-server.ts";
import { waitUntilBooted } from "../rig/booted.ts";
import { type DemoImage, demoImage } from "../rig/image.ts";
import { type Firmware, Machine } from "../rig/machine.ts";
import { run } from "../rig/programs.ts";
import { askedFor, bootAgent, HOST_URL, type StepOptions } from "./agent-machine.ts";

const WORK = resolve(import.meta.dir, "../../.cache/vm");
const MIB = 2 ** 20;
const SECTOR = 512;
const DISK_BYTES = 5 * 2 ** 30;
const TIMEOUT = 3_600_000;
/** Random places, and one when all but the last of it is written. */
const CUTS = [Math.random() * 0.3, 0.3 + Math.random() * 0.6, 0.99];

/** A disk that outlives its machines, and the image's server. */
async function bench() {
  await mkdir(WORK, { recursive: true });
  const directory = await mkdtemp(`${WORK}/`);
  const file = `${directory}/disk`;
  await writeFile(file, "");
  await truncate(file, DISK_BYTES);
  const image = await demoImage({ report: console.log });
  const server = await ImageServer.start({ root: image.raw.file, hostname: "127.0.0.1" });
  const deployment: StepOptions = {
    kind: "deploy",
    node: { properties: { capabilities: "boot_mode:bios" } },
    args: {
      image_info: {
        ...{ id: "demo", urls: [`${HOST_URL}/image.raw`], disk_format: "raw", stream_raw_images: true },
        ...{ os_hash_algo: "sha256", os_hash_value: image.raw.sha256 },
      },
    },
  };
  return {
    ...{ file, image, deployment },
    /** Boots from the disk. */
    async machine(firmware: Firmware): Promise<Machine> {
      const machine = await Machine.create({
        ...{ name: "deployed", directory: `${directory}/${firmware}-${crypto.randomUUID()}`, firmware },
        ...{ memoryMiB: 1024, cpus: 2, nics: [] },
        disks: [{ bus: "virtio", serial: "TORN2", file }],
        // The BIOS's own output, too, goes to the serial port.
        qemuArguments: ["-machine", "graphics=off"],
      });
      await machine.start({ disk: true });
      return machine;
    },
    hostPort: Number(new URL(server.urlOf("image.raw")).port),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}

/** "nothing" when no tool finds anything to boot; "whole" when every byte is the image's, but for the two sectors of its GPT. */
async function found(file: string, image: DemoImage): Promise<"nothing" | "whole" | "something else"> {
  const { stdout } = await run(["wipefs", "--no-act", "--noheadings", "--output", "TYPE", file]);
  if (stdout.trim() === "") return "nothing";
  await using disk = await open(file, "r");
  await using source = await open(image.raw.file, "r");
  const [left, right] = [Buffer.alloc(MIB), Buffer.alloc(MIB)];
  // The last mebibyte of the image has the backup GPT, which moves to the end of the disk.
  for (let at = 0; at < image.virtualSizeBytes - MIB; at += MIB) {
    await disk.read(left, 0, MIB, at);
    await source.read(right, 0, MIB, at);
    const from = at === 0 ? 2 * SECTOR : 0;
    if (!left.subarray(from).equals(right.subarray(from))) return "something else";
  }
  return "whole";
}

/** The first mebibyte from `from` on that does not begin with zeros. */
async function firstFullMebibyte(file: string, from: number): Promise<number> {
  await using source = await open(file, "r");
  const block = Buffer.alloc(SECTOR);
  for (let mebibyte = from; ; mebibyte += 1) {
    await source.read(block, 0, SECTOR, mebibyte * MIB);
    if (block.some((byte) => byte !== 0)) return mebibyte;
  }
}

describe.skipIf(!askedFor)("a deployment that is torn", () => {
  test(
    "by the power: whole or nothing, and the next one works (deploy 11.96)",
    async () => {
      await using torn = await bench();
      const machine = {
        firmware: "bios" as const,
        disks: [{ bus: "virtio" as const, serial: "TORN1", file: torn.file }],
        hostPort: torn.hostPort,
      };
      for (const fraction of CUTS) {
        await using agent = await bootAgent(machine);
        const there = Promise.withResolvers<void>();
        const onProgress: StepOptions["onProgress"] = ({ done, total }) => {
          if (typeof done === "number" && typeof total === "number" && done >= fraction * total)
            there.resolve();
        };
        // Nobody answers how it ended, unless it was quicker than the hand on the plug.
        const deployment = agent.step("write_image", { ...torn.deployment, onProgress }).catch(() => null);
        await Promise.race([there.promise, deployment]);
        await agent.machine.powerOff();
        await deployment;
        const state = await found(torn.file, torn.image);
        console.log(`power cut at ${Math.round(100 * fraction)} %: ${state}`);
        expect(state).not.toBe("something else");
        if (fraction < 0.9) expect(state).toBe("nothing");
      }
      await using agent = await bootAgent(machine);
      const { status, error } = await agent.step("write_image", torn.deployment);
      expect({ status, error }).toEqual({ status: "SUCCEEDED", error: null });
      await agent.shell("sync; blockdev --flushbufs /dev/vda");
      expect(await found(torn.file, torn.image)).toBe("whole");
      await agent.machine.powerOff();
      await agent.machine.start({ disk: true });
      await agent.machine.waitForConsole(/IRONIC-DEMO-NO-CONFIG-DRIVE/, { timeout: 600_000 });
    },
    TIMEOUT,
  );

  test(
    "by the power between the image and its config drive: neither firmware starts it, and then both do, with the config drive",
    async () => {
      await using torn = await bench();
      const node = { uuid: crypto.randomUUID(), name: "torn" };
      const { args, ...rest } = torn.deployment;
      const configdrive = await buildConfigDrive({}, node);
      const deployment: StepOptions = { ...rest, args: { ...args, configdrive } };
      const machine = {
        firmware: "bios" as const,
        disks: [{ bus: "virtio" as const, serial: "TORN2", file: torn.file }],
        hostPort: torn.hostPort,
      };
      {
        await using agent = await bootAgent(machine);
        const deploying = agent.step("write_image", deployment).catch(() => null);
        await agent.machine.waitForConsole(/moved the backup GPT/, { timeout: 900_000 });
        await agent.machine.powerOff();
        await deploying;
      }
      const { stdout } = await run(["sgdisk", "--print", torn.file]);
      expect(stdout).toMatch(/^ +3 /m); // the image's table is there
      expect(stdout).not.toMatch(/^ +4 /m); // the config drive's partition is not
      const wait = { timeout: 600_000, signal: AbortSignal.timeout(TIMEOUT) };
      {
        await using bios = await torn.machine("bios");
        await bios.waitForConsole(/The deployment of this disk was cut short\. Deploy it again\./, wait);
        await bios.waitForConsole(/No bootable device/, wait);
      }
      {
        await using uefi = await torn.machine("uefi");
        await uefi.waitForConsole(/EFI Internal Shell|No bootable option or device was found/, wait);
        expect(uefi.consoleText()).toMatch(/failed to load Boot\d+ .*: Not Found/);
      }
      {
        await using agent = await bootAgent(machine);
        const { status, error } = await agent.step("write_image", deployment);
        expect({ status, error }).toEqual({ status: "SUCCEEDED", error: null });
        await agent.shell("sync; blockdev --flushbufs /dev/vda");
      }
      for (const firmware of ["bios", "uefi"] as const) {
        await using deployed = await torn.machine(firmware);
        await waitUntilBooted(deployed, { uuid: node.uuid, boot: firmware }, wait);
      }
    },
    TIMEOUT,
  );

  test(
    "by a disk that does not take a block: it says which disk and what, nothing boots, another disk works",
    async () => {
      await using torn = await bench();
      // In the middle of something: zeros would be left to the disk to write.
      const sector = ((await firstFullMebibyte(torn.image.raw.file, 150)) * MIB) / SECTOR;
      const bad = {
        driver: "raw",
        "node-name": "bad",
        file: {
          driver: "blkdebug",
          image: { driver: "file", filename: torn.file },
          "inject-error": [{ event: "none", iotype: "write", errno: 5, sector, once: false }],
        },
      };
      {
        await using agent = await bootAgent({
          ...{ firmware: "bios", disks: [], hostPort: torn.hostPort },
          qemuArguments: [
            ...["-blockdev", JSON.stringify(bad)],
            ...["-device", "virtio-blk-pci,drive=bad,serial=BAD1,werror=report,rerror=report"],
          ],
        });
        const { status, error } = await agent.step("write_image", torn.deployment);
        expect({ status, type: error?.type }).toEqual({ status: "FAILED", type: "ImageWriteError" });
        expect(error?.details).toContain("Writing image to device /dev/vda failed: writing /dev/vda: EIO");
        expect(error?.details).toContain("BAD1");
        expect(error?.details).toMatch(new RegExp(`I/O error, dev vda, sector ${sector} `));
        await agent.shell("sync");
        expect(await found(torn.file, torn.image)).toBe("nothing");
      }
      await using agent = await bootAgent({
        firmware: "bios",
        disks: [{ bus: "virtio", serial: "GOOD1", file: torn.file }],
        hostPort: torn.hostPort,
      });
      const { status, error } = await agent.step("write_image", torn.deployment);
      expect({ status, error }).toEqual({ status: "SUCCEEDED", error: null });
    },
    TIMEOUT,
  );
});
