// The same image again, on loop devices: only the very same is left where it is, and then without a request for it.

import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { gzipSync } from "node:zlib";
import type { JsonObject } from "../../src/json.ts";
import { bringImage, writeImage } from "../../src/steps/write-image.ts";
import { realBlockDevices } from "../../src/system/block-device.ts";
import { file } from "../support/fault-server.ts";
import { tool } from "../support/loop-device.ts";
import {
  failure,
  type Machine,
  makeGpt,
  onMachine,
  partitionedImage,
  RAW,
  serving,
  sha256,
} from "./write-image-machine.ts";

const MEBIBYTE = 1024 * 1024;
const PARTITION = { ...RAW, image_type: "partition", root_mb: 40, deploy_boot_mode: "uefi" };

let directory = "";
let image: Buffer;
let fileSystem: Buffer;

beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/same-`);
  image = await partitionedImage(directory, makeGpt);
  await tool("mkfs.ext4", "-q", "-U", "11111111-2222-3333-4444-555555555555", `${directory}/root`, "8M");
  fileSystem = await readFile(`${directory}/root`);
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

/** A config drive that holds `text`. */
async function drive(text: string): Promise<string> {
  const tree = `${directory}/${crypto.randomUUID()}`;
  await Bun.write(`${tree}/content`, text);
  await tool("genisoimage", "-quiet", "-V", "config-2", "-o", `${tree}.iso`, tree);
  return gzipSync(await readFile(`${tree}.iso`)).toString("base64");
}

async function driveText(partition: string): Promise<string> {
  await using device = await realBlockDevices.open(partition, "read-uncached");
  const bytes = Buffer.alloc(MEBIBYTE);
  await device.read(bytes, 0);
  return bytes.includes("drive one") ? "one" : bytes.includes("drive two") ? "two" : "none";
}

// deploy 11.94
describe("the same again makes no request, renews the config drive and answers the same", () => {
  onMachine("whole disk", {}, async ({ disk, context, deployment, reports }) => {
    await serving([file(image)], image, RAW, async (info, requests) => {
      const first = await writeImage(context, info, await drive("drive one"));
      const uuids = deployment.partitionUuids;
      const table = await tool("sgdisk", "-p", disk);
      reports.length = 0;
      expect(await writeImage(context, info, await drive("drive two"))).toBe(first);
      expect(requests).toHaveLength(1);
      expect(reports).toEqual([]);
      expect(deployment.partitionUuids).toEqual(uuids);
      expect(await tool("sgdisk", "-p", disk)).toBe(table);
    });
    expect(await driveText(`${disk}p3`)).toBe("two");
    // A third time, for what the second has recorded.
    expect(deployment.image).toMatchObject({ configDrive: `${disk}p3` });
  });

  onMachine("partition image", { size: 700 * MEBIBYTE }, async ({ disk, context, deployment }) => {
    await serving([file(fileSystem)], fileSystem, PARTITION, async (info, requests) => {
      const first = await writeImage(context, info, await drive("drive one"));
      const uuids = deployment.partitionUuids;
      for (const content of ["drive two", "drive one", "drive two"])
        expect(await writeImage(context, info, await drive(content))).toBe(first);
      expect(requests).toHaveLength(1);
      expect(deployment.partitionUuids).toEqual(uuids);
    });
    expect(await driveText(`${disk}p2`)).toBe("two");
  });

  onMachine("without a config drive, and for cache_image unless forced", {}, async ({ context }) => {
    await serving([file(image)], image, RAW, async (info, requests) => {
      const bring = (force: boolean) => bringImage(context, info, null, { force });
      expect((await bring(false)).kept).toBe(false);
      expect((await bring(false)).kept).toBe(true);
      expect((await bring(true)).kept).toBe(false);
      expect(requests).toHaveLength(2);
    });
  });
});

// deploy 11.95; deploy 10, bug 79
describe("anything else is written again", () => {
  type Change = {
    readonly info?: JsonObject;
    readonly drive?: string | null;
    readonly between?: (machine: Machine) => Promise<unknown>;
  };
  const changes: Record<string, Change> = {
    "another checksum": { info: { os_hash_algo: "sha512" } },
    "another format": { info: { disk_format: "gpt" } },
    "another type": { info: { image_type: "partition", root_mb: 40 } },
    "no config drive, where there was one": { drive: null },
    "a table that was changed since": {
      between: ({ disk }) => tool("sgdisk", "-c", "1:other", disk),
    },
    "a disk that was erased since": { between: ({ disk }) => tool("sgdisk", "-Z", disk) },
  };
  for (const [name, change] of Object.entries(changes))
    onMachine(name, { size: 700 * MEBIBYTE }, async (machine) => {
      const hash = new Bun.CryptoHasher("sha512").update(image).digest("hex");
      await serving([file(image)], image, RAW, async (info, requests) => {
        await writeImage(machine.context, info, await drive("drive one"));
        await change.between?.(machine);
        const other = { ...info, ...change.info };
        if (other.os_hash_algo === "sha512") other.os_hash_value = hash;
        const before = requests.length;
        await writeImage(machine.context, other, change.drive === null ? null : await drive("drive one"));
        expect(requests.length).toBe(before + 1);
      });
    });

  onMachine("another URL, and another id", {}, async ({ context }) => {
    await serving([file(image)], image, RAW, async (info, requests) => {
      await writeImage(context, info, null);
      await writeImage(context, { ...info, id: "other" }, null);
      const [url] = info.urls as string[];
      await writeImage(context, { ...info, id: "other", urls: [`${url}?v=2`] }, null);
      expect(requests).toHaveLength(3);
    });
  });

  onMachine("a first run that failed", {}, async ({ context }) => {
    const damaged = Buffer.from(image);
    damaged[5 * MEBIBYTE]! ^= 1;
    await serving([file(damaged), file(damaged), file(image)], image, RAW, async (info, requests) => {
      expect((await failure(writeImage(context, info, null))).details).toContain(sha256(damaged));
      await writeImage(context, info, null);
      expect(requests).toHaveLength(3);
    });
  });

  onMachine("a first run that was good, and a second that failed", {}, async ({ context }) => {
    await serving(
      [file(image), file(Buffer.from("junk")), file(Buffer.from("junk")), file(image)],
      image,
      RAW,
      async (info, requests) => {
        await writeImage(context, info, null);
        await failure(writeImage(context, { ...info, id: "other" }, null));
        const before = requests.length;
        await writeImage(context, info, null);
        expect(requests.length).toBe(before + 1);
      },
    );
  });
});
