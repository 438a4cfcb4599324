// The power goes at each point of a deployment at which something reaches the disk: from that write on nothing does, no
// cleaning up either. What is found then must not boot: a disk with half an image is worse than one with none. On real loop devices
// with the real tools.

import { beforeAll, describe, expect } from "bun:test";
import { readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import type { JsonObject } from "../../src/json.ts";
import { writeImage } from "../../src/steps/write-image.ts";
import { BlockDeviceIoError } from "../../src/system/block-device.ts";
import type { System } from "../../src/system/system.ts";
import { file } from "../support/fault-server.ts";
import { tool } from "../support/loop-device.ts";
import { type Machine, onMachine, serving } from "./write-image-machine.ts";

const MEBIBYTE = 1024 * 1024;
const IMAGE_MIB = 12;

/** A disk image with a GPT, and a root file system; both full of something. */
let wholeDisk: Buffer;
let root: Buffer;
let newRoot: Buffer;

beforeAll(async () => {
  const path = `${tmpdir()}/power-cut-${crypto.randomUUID()}`;
  await writeFile(path, "");
  await truncate(path, IMAGE_MIB * MEBIBYTE);
  await tool("sgdisk", "-n", "1:1M:+8M", "-t", "1:ef00", path);
  wholeDisk = await readFile(path);
  wholeDisk.fill(0x5a, 2 * MEBIBYTE, 9 * MEBIBYTE);
  await rm(path);
  await writeFile(path, "");
  await truncate(path, IMAGE_MIB * MEBIBYTE);
  await tool("mkfs.ext4", "-q", path);
  root = await readFile(path);
  root.fill(0x5a, 8 * MEBIBYTE, 11 * MEBIBYTE);
  newRoot = Buffer.from(root);
  newRoot.fill(0x3c, 9 * MEBIBYTE, 12 * MEBIBYTE);
  await rm(path);
});

/** Power that goes with write number `last`, once it is switched on; writes are counted over all devices. */
class Power {
  last = Number.POSITIVE_INFINITY;
  #writes = 0;

  get gone(): boolean {
    return this.#writes >= this.last;
  }

  on(system: System): System {
    const cut = (path: string) => new BlockDeviceIoError("writing", path, "EIO");
    return {
      ...system,
      run: (argv, options) =>
        this.gone ? Promise.reject(new Error("the power is gone")) : system.run(argv, options),
      blockDevices: {
        open: async (path, mode) => {
          const device = await system.blockDevices.open(path, mode);
          return {
            ...{ path, size: device.size, sectorSize: device.sectorSize },
            read: (buffer, offset) => device.read(buffer, offset),
            write: async (bytes, offset) => {
              if (this.gone) throw cut(path);
              this.#writes += 1;
              await device.write(bytes, offset);
            },
            flush: async () => {
              if (this.gone) throw cut(path);
              await device.flush();
            },
            [Symbol.asyncDispose]: () => device[Symbol.asyncDispose](),
          };
        },
      },
    };
  }
}

const WHOLE_DISK = { disk_format: "raw", stream_raw_images: true };
const PARTITION = {
  ...{ ...WHOLE_DISK, image_type: "partition", root_mb: 20, ephemeral_mb: 4 },
  ...{ deploy_boot_mode: "bios", boot_option: "local" },
};

/** Deploys, and the power goes with write `last` of it; true if the deployment ended before. */
async function deployed(machine: Machine, info: JsonObject, power: Power, last: number): Promise<boolean> {
  power.last = last;
  const deployment = writeImage(machine.context, info, null);
  if (power.last === Number.POSITIVE_INFINITY) {
    await deployment;
    return true;
  }
  const ended = await deployment.then(
    () => true,
    () => false,
  );
  return ended && !power.gone;
}

const hasBackupTable = (disk: Buffer) => disk.subarray(-512).toString("latin1").startsWith("EFI PART");
const isBlank = (bytes: Buffer) => bytes.every((byte) => byte === 0);

describe("the power goes at every write of a deployment", () => {
  for (let last = 1; last <= IMAGE_MIB + 4; last += 1) {
    const power = new Power();
    onMachine(`whole disk, write ${last}`, { change: (system) => power.on(system) }, async (machine) => {
      await serving([file(wholeDisk)], wholeDisk, WHOLE_DISK, async (info) => {
        const ended = await deployed(machine, info, power, last);
        const content = await machine.content();
        const whole = content
          .subarray(2 * 512, 11 * MEBIBYTE)
          .equals(wholeDisk.subarray(2 * 512, 11 * MEBIBYTE));
        // No table at either end: neither a BIOS nor a UEFI firmware finds anything.
        const nothing = isBlank(content.subarray(0, 34 * 512)) && !hasBackupTable(content);
        expect(whole || nothing).toBe(true);
        if (ended) expect(whole).toBe(true);
        // deploy 11.96: when it is back, the next deployment is as good as a first one.
        power.last = Number.POSITIVE_INFINITY;
        await writeImage(machine.context, { ...info, id: "again" }, null);
        const redeployed = await machine.content();
        const end = wholeDisk.length - 34 * 512;
        expect(redeployed.subarray(2 * 512, end).equals(wholeDisk.subarray(2 * 512, end))).toBe(true);
        expect(hasBackupTable(redeployed)).toBe(true);
        expect(await tool("sgdisk", "-v", machine.disk)).toContain("No problems found");
      });
    });
  }
});

describe("the power goes in a rebuild that keeps the ephemeral partition", () => {
  for (let last = 1; last <= IMAGE_MIB + 2; last += 3) {
    const power = new Power();
    onMachine(
      `partition image, write ${last} of the rebuild (deploy 3.5)`,
      { change: (system) => power.on(system) },
      async (machine) => {
        await serving([file(root)], root, PARTITION, async (info) => {
          await deployed(machine, info, power, Number.POSITIVE_INFINITY);
        });
        const rebuild = { ...PARTITION, preserve_ephemeral: true };
        await serving([file(newRoot)], newRoot, rebuild, async (info) => {
          const again = new Power();
          const context = { ...machine.context, system: again.on(machine.context.system) };
          const ended = await deployed({ ...machine, context }, info, again, last);
          const start = 5 * MEBIBYTE;
          const content = await machine.content();
          const system = content.subarray(start, start + root.length);
          // GRUB of the last deployment is still in front of the partitions: it must not find the old file system's start.
          expect(system.equals(newRoot) || isBlank(system.subarray(0, MEBIBYTE))).toBe(true);
          if (ended) expect(system.equals(newRoot)).toBe(true);
          // The table, which the ephemeral partition needs, is never touched.
          expect(await tool("parted", "-s", "-m", machine.disk, "unit", "MiB", "print")).toContain(
            "1:1.00MiB:5.00MiB:4.00MiB",
          );
        });
      },
    );
  }
});
