// What is on the disk's medium after every write and every program of a deployment with a config drive: whenever firmware would find
// something to start, the config drive has to be there, whole. Loop devices and the real tools; test/vm/power-cut.test.ts pulls the plug.

import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdtemp, open, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { gzipSync } from "node:zlib";
import type { JsonObject } from "../../src/json.ts";
import { writeImage } from "../../src/steps/write-image.ts";
import type { System } from "../../src/system/system.ts";
import { file } from "../support/fault-server.ts";
import { tool } from "../support/loop-device.ts";
import { converted, type MachineOptions, onMachine, RAW, serving, sha256 } from "./write-image-machine.ts";

const MEBIBYTE = 1024 * 1024;
const BOOT_CODE = 440;
const IMAGE = 8 * MEBIBYTE;
/** Of the EFI system partition, in the image. */
const ESP = MEBIBYTE;

let directory = "";
let isos: Buffer[] = [];
let fats: Buffer[] = [];

beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/boot-hold-`);
  isos = await Promise.all(["first", "second"].map(configDrive));
  fats = await Promise.all(["11111111", "22222222"].map(fatConfigDrive));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

async function fatConfigDrive(id: string): Promise<Buffer> {
  await tool("mkfs.vfat", "-C", "-n", "config-2", "-i", id, `${directory}/${id}`, "1024");
  return readFile(`${directory}/${id}`);
}

async function configDrive(text: string): Promise<Buffer> {
  const tree = `${directory}/${text}`;
  await Bun.write(`${tree}/openstack/latest/user_data`, text.repeat(1000));
  await tool("genisoimage", "-quiet", "-R", "-J", "-V", "config-2", "-o", `${tree}.iso`, tree);
  return readFile(`${tree}.iso`);
}

const sent = (iso: Buffer | undefined) => gzipSync(iso ?? Buffer.alloc(0)).toString("base64");

/** A disk that boots in BIOS and in UEFI mode: code in the boot sector, a FAT file system. */
async function image(partitioning: string[], sectorSize = 512): Promise<Buffer> {
  const path = `${directory}/${crypto.randomUUID()}`;
  await writeFile(path, "");
  await truncate(path, IMAGE);
  await tool("parted", "-s", path, ...partitioning);
  const bytes = await readFile(path);
  await rm(path);
  const fat = `${path}.fat`;
  await tool("mkfs.vfat", "-C", "-S", String(sectorSize), "-n", "EFI", fat, "3072");
  bytes.set(await readFile(fat), ESP);
  await rm(fat);
  bytes.fill(0xeb, 0, BOOT_CODE);
  return bytes;
}

const partitions = ["mkpart", "primary", "fat32", "1MiB", "4MiB"];
const GPT = ["mklabel", "gpt", ...partitions, "set", "1", "esp", "on"];
const MBR = ["mklabel", "msdos", ...partitions];

type Moment = {
  readonly after: string;
  /** Firmware that would find something to start. */
  readonly starts: readonly string[];
  /** Whether the boot sector says that the deployment was cut short. */
  readonly held: boolean;
  /** Digest of what has to be whole then, if something would start. */
  readonly rest: string | null;
};

type Medium = {
  readonly path: string;
  /** Firmware that would find something, by the first mebibytes of the disk. */
  readonly starts: (start: Buffer) => string[];
  /** What has to be whole if something starts, the config drive among it, of the whole disk. */
  readonly rest: (content: Buffer) => string;
};

/** Bytes that Medium.starts() gets. */
const START = 3 * MEBIBYTE;
const behindImage = (content: Buffer) => sha256(content.subarray(IMAGE));

/** Looks at the medium after everything that may have changed it; what is in the page cache alone is not there. */
class Watcher {
  moments: Moment[] = [];
  medium: Medium | null = null;

  on = (system: System): System => ({
    ...system,
    run: async (argv, options) => {
      const result = await system.run(argv, options);
      if (["sgdisk", "parted", "mkfs", "umount", "qemu-img"].some((name) => argv.includes(name)))
        await this.#look(argv.join(" "));
      return result;
    },
    blockDevices: {
      open: async (path, mode) => {
        const device = await system.blockDevices.open(path, mode);
        return {
          ...{ path, size: device.size, sectorSize: device.sectorSize },
          read: (buffer, offset) => device.read(buffer, offset),
          write: async (bytes, offset) => {
            await device.write(bytes, offset);
            await this.#look(`${bytes.length} bytes at ${offset} of ${path}`);
          },
          flush: async () => {
            await device.flush();
            await this.#look(`flush of ${path}`);
          },
          [Symbol.asyncDispose]: () => device[Symbol.asyncDispose](),
        };
      },
    },
  });

  async #look(after: string): Promise<void> {
    if (this.medium === null) return;
    const { path, starts: startsOf, rest: restOf } = this.medium;
    const start = Buffer.alloc(START);
    await using medium = await open(path, "r");
    await medium.read(start, 0, start.length, 0);
    const starts = startsOf(start);
    const rest = starts.length > 0 ? restOf(await readFile(path)) : null;
    this.moments.push({ after, starts, held: start.includes("was cut short"), rest });
  }

  /** What was seen since the last call. */
  seen(): Moment[] {
    const seen = this.moments;
    this.moments = [];
    return seen;
  }
}

/** What is there to start, by firmware; the boot sector's signature has to be there for any of them. */
function startable(content: Buffer, of: Buffer, sectorSize: number): string[] {
  if (content.readUInt16BE(510) !== 0x55aa) return [];
  const same = (at: number, length: number) =>
    content.subarray(at, at + length).equals(of.subarray(at, at + length));
  return [...(same(0, BOOT_CODE) ? ["BIOS"] : []), ...(same(ESP, sectorSize) ? ["UEFI"] : [])];
}

const BOTH = ["BIOS", "UEFI"];

type Way = {
  readonly partitioning: string[];
  readonly format?: string;
  readonly fields?: JsonObject;
  readonly fat?: boolean;
  /** False for a server without ranges, whose qcow2 qemu-img writes. */
  readonly ranges?: boolean;
} & Pick<MachineOptions, "config" | "sectorSize">;

const ways: Record<string, Way> = {
  "raw with a GPT": { partitioning: GPT, fields: RAW },
  "raw with an MBR": { partitioning: MBR, fields: RAW },
  "raw, read back": { partitioning: GPT, fields: RAW, config: { verify_written_image: true } },
  "raw, the config drive made anew as FAT": {
    ...{ partitioning: GPT, fields: RAW, config: { config_drive_rebuild: true } },
  },
  "qcow2 in one pass": { partitioning: GPT, format: "qcow2" },
  "qcow2 by qemu-img": { partitioning: GPT, format: "qcow2", ranges: false },
  "vdi by qemu-img, read back": {
    ...{ partitioning: MBR, format: "vdi" },
    config: { verify_written_image: true, permitted_image_formats: ["vdi"] },
  },
  "an MBR for 4096-byte sectors, with a config drive that is FAT": {
    ...{ partitioning: MBR, fields: RAW, sectorSize: 4096, fat: true },
  },
};

describe("nothing boots before its config drive is there", () => {
  for (const [name, way] of Object.entries(ways)) {
    const { partitioning, format, fields, fat, ranges = true, config, sectorSize = 512 } = way;
    const watcher = new Watcher();
    const options = { size: 80 * MEBIBYTE, sectorSize: sectorSize as 512 | 4096, change: watcher.on };
    onMachine(name, { ...options, ...(config === undefined ? {} : { config }) }, async (machine) => {
      const path = await backingFile(machine.disk);
      const plain = await image(partitioning, sectorSize);
      if (sectorSize !== 512) enlargeSectors(plain, sectorSize);
      const bytes = format === undefined ? plain : await converted(directory, plain, "-O", format);
      const script = [file(bytes, { ranges })];
      await serving(script, bytes, fields ?? {}, async (info) => {
        const starts = (start: Buffer) => startable(start, plain, sectorSize);
        watcher.medium = { path, starts, rest: behindImage };
        const drives = fat === true ? fats : isos;
        await writeImage(machine.context, info, sent(drives[0]));
        const first = await machine.content();
        expect(starts(first)).toEqual(BOTH);
        const moments = watcher.seen();
        for (const { after, rest } of moments)
          if (rest !== null) expect({ after, rest }).toEqual({ after, rest: behindImage(first) });
        // The table was there, and the disk said why it does not boot.
        expect(moments.filter(({ held }) => held).length).toBeGreaterThan(3);

        // The same image with another config drive: only that is renewed, and again nothing boots in between.
        await writeImage(machine.context, info, sent(drives[1]));
        const second = await machine.content();
        expect(starts(second)).toEqual(BOTH);
        const whole = [first, second].map(behindImage);
        expect(new Set(whole).size).toBe(2);
        for (const { after, rest } of watcher.seen())
          if (rest !== null) expect({ after, whole: whole.includes(rest) }).toEqual({ after, whole: true });
      });
    });
  }
});

describe("a partition image", () => {
  const watcher = new Watcher();
  onMachine(
    "has its config drive before its root file system; while that is renewed, GRUB does not start",
    { size: 80 * MEBIBYTE, change: watcher.on },
    async (machine) => {
      const name = `${directory}/root`;
      await tool("mkfs.ext4", "-q", name, "12M");
      const root = await readFile(name);
      const path = await backingFile(machine.disk);
      const partition = { ...RAW, image_type: "partition", root_mb: 20, boot_option: "local" };
      await serving([file(root)], root, { ...partition, deploy_boot_mode: "bios" }, async (info) => {
        // The config drive is in the second mebibyte, the root file system begins with the third.
        const rest = (content: Buffer) => sha256(content.subarray(MEBIBYTE, 2 * MEBIBYTE));
        const superblock = root.subarray(1024, 2048);
        const hasRoot = (start: Buffer) => start.subarray(2 * MEBIBYTE + 1024).indexOf(superblock) === 0;
        watcher.medium = { path, rest, starts: (start) => (hasRoot(start) ? ["the root file system"] : []) };
        await writeImage(machine.context, info, sent(isos[0]));
        const first = rest(await machine.content());
        const early = watcher.seen().filter(({ starts }) => starts.length > 0);
        expect(early.length).toBeGreaterThan(0);
        for (const { after, rest: drive } of early) expect({ after, drive }).toEqual({ after, drive: first });

        // As grub-install leaves it.
        const grub = Buffer.alloc(BOOT_CODE, 0xeb);
        {
          await using disk = await open(machine.disk, "r+");
          await disk.write(grub, 0, BOOT_CODE, 0);
          await disk.datasync();
        }
        const starts = (start: Buffer) => (start.subarray(0, BOOT_CODE).equals(grub) ? ["BIOS"] : []);
        watcher.medium = { path, rest, starts };
        await writeImage(machine.context, info, sent(isos[1]));
        const content = await machine.content();
        expect(starts(content)).toEqual(["BIOS"]);
        const moments = watcher.seen();
        expect(moments.some(({ held }) => held)).toBe(true);
        for (const { after, rest: drive } of moments)
          if (drive !== null)
            expect({ after, whole: [first, rest(content)].includes(drive) }).toEqual({ after, whole: true });
      });
    },
  );
});

async function backingFile(disk: string): Promise<string> {
  return (await tool("losetup", "--noheadings", "--raw", "--output", "BACK-FILE", disk)).trim();
}

/** An MBR counts in sectors: the same places on a disk with larger ones. */
function enlargeSectors(bytes: Buffer, sectorSize: number): void {
  for (const at of [446 + 8, 446 + 12]) bytes.writeUInt32LE(bytes.readUInt32LE(at) / (sectorSize / 512), at);
}
