// Raw images packed with gzip, Zstandard or xz, from end to end: packed by the real programs, from a web server on loopback onto loop
// devices.

import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { ImageChecksumError, ImageWriteError, InvalidImage } from "../../src/errors.ts";
import type { JsonObject } from "../../src/json.ts";
import { writeImage } from "../../src/steps/write-image.ts";
import { file } from "../support/fault-server.ts";
import {
  converted,
  expectImage,
  expectNothingBootable,
  failure,
  IMAGE,
  makeGpt,
  onMachine,
  partitionedImage,
  RAW,
  serving,
  sha256,
  wholeRequests,
} from "./write-image-machine.ts";

const MEBIBYTE = 1024 * 1024;

let directory = "";
let image: Buffer;

beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/packed-`);
  image = await partitionedImage(directory, makeGpt);
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

async function packed(content: Uint8Array, ...argv: string[]): Promise<Buffer> {
  const path = `${directory}/${crypto.randomUUID()}`;
  await writeFile(path, content);
  const child = Bun.spawn(argv, { stdin: Bun.file(path), stdout: "pipe" });
  const bytes = Buffer.from(await new Response(child.stdout).arrayBuffer());
  expect(await child.exited).toBe(0);
  await rm(path);
  return bytes;
}

const PACKERS: Record<string, string[]> = {
  gzip: ["gzip", "-1"],
  zstd: ["zstd", "-q"],
  xz: ["xz", "-1"],
};

describe("is unpacked on its way to the disk, and the checksum is that of the packed file", () => {
  for (const [name, argv] of Object.entries(PACKERS)) {
    onMachine(name, {}, async ({ context, content, reports, directories }) => {
      const bytes = await packed(image, ...argv);
      await serving([file(bytes)], bytes, RAW, async (info, requests) => {
        await writeImage(context, info, null);
        expect(requests).toHaveLength(1);
      });
      expectImage(await content(), image);
      expect(directories).toEqual([]);
      expect(reports.at(-1)).toMatchObject({ phase: "write", done: bytes.length, total: bytes.length });
    });

    onMachine(`${name}, over a connection that is cut in the middle`, {}, async ({ context, content }) => {
      const bytes = await packed(image, ...argv);
      await serving([file(bytes, { cutAfter: 200_000 }), file(bytes)], bytes, RAW, async (info) => {
        await writeImage(context, info, null);
      });
      expectImage(await content(), image);
    });

    onMachine(`${name}, flipped on the way, once`, {}, async ({ context, content }) => {
      const bytes = await packed(image, ...argv);
      const flipped = Buffer.from(bytes);
      flipped[300_000]! ^= 1;
      await serving([file(flipped), file(bytes)], bytes, RAW, async (info, requests) => {
        await writeImage(context, info, null);
        expect(requests).toHaveLength(2);
      });
      expectImage(await content(), image);
    });
  }

  const ways: [string, JsonObject, string[]][] = [
    ["of unknown format", { stream_raw_images: true }, ["write"]],
    ["labelled gpt", { disk_format: "gpt", stream_raw_images: true }, ["write"]],
    ["that must not be streamed: by way of a copy", { disk_format: "raw" }, ["download", "write"]],
    ["of unknown format that must not be streamed", {}, ["download", "write"]],
  ];
  for (const [name, fields, phases] of ways)
    onMachine(name, {}, async ({ context, content, reports }) => {
      const bytes = await packed(image, "gzip", "-1");
      await serving([file(bytes)], bytes, fields, async (info) => {
        await writeImage(context, info, null);
      });
      expectImage(await content(), image);
      expect([...new Set(reports.map(({ phase }) => phase))]).toEqual(phases);
    });
});

describe("is refused", () => {
  onMachine("larger than the disk once unpacked: nothing bootable is left", {}, async (machine) => {
    const bomb = await packed(Buffer.alloc(512 * MEBIBYTE), "gzip", "-9");
    expect(bomb.length).toBeLessThan(MEBIBYTE);
    await serving([file(bomb)], bomb, RAW, async (info, requests) => {
      const error = await failure(writeImage(machine.context, info, null));
      expect(error).toBeInstanceOf(ImageWriteError);
      expect(error.details).toContain("does not fit on device");
      expect(requests).toHaveLength(1);
    });
    await expectNothingBootable(machine);
  });

  onMachine("cut short before it was registered", {}, async (machine) => {
    const whole = await packed(image, "zstd", "-q");
    const bytes = whole.subarray(0, whole.length - 100);
    await serving([file(bytes)], bytes, RAW, async (info, requests) => {
      const error = await failure(writeImage(machine.context, info, null));
      expect(error).toBeInstanceOf(InvalidImage);
      expect(error.details).toBe(
        "The image does not unpack (zstd): it ends too early. The checksum fits, so the file was broken before it was " +
          "registered: pack it again.",
      );
      expect(requests).toHaveLength(1);
    });
    await expectNothingBootable(machine);
  });

  onMachine("with a wrong checksum", {}, async (machine) => {
    const bytes = await packed(image, "gzip", "-1");
    await serving([file(bytes)], image, RAW, async (info, requests) => {
      const error = await failure(writeImage(machine.context, info, null));
      expect(error).toBeInstanceOf(ImageChecksumError);
      expect(error.details).toContain(`location: ${machine.disk};`);
      expect(error.details).toContain(`verification checksum: ${sha256(bytes)}`);
      expect(requests).toHaveLength(2);
    });
    await expectNothingBootable(machine);
  });

  const inside: [string, string[], JsonObject, string][] = [
    [
      "a qcow2",
      ["-O", "qcow2"],
      {},
      "The image is a qcow2 packed with gzip, and only raw images are unpacked",
    ],
    ["a qcow2 for others", ["-O", "vdi"], {}, "format was vdi, but only raw, gpt, qcow2 are allowed"],
    [
      "a qcow2, whatever it is labelled",
      ["-O", "qcow2"],
      { disk_format: "qcow2" },
      "Expected format was qcow2, but image was actually raw",
    ],
  ];
  for (const [name, options, fields, text] of inside)
    onMachine(`${name} in it: the disk stays as it was`, {}, async ({ context, content }) => {
      const before = sha256(await content());
      const bytes = await packed(await converted(directory, image, ...options), "gzip", "-1");
      await serving([file(bytes)], bytes, { stream_raw_images: true, ...fields }, async (info) => {
        const error = await failure(writeImage(context, info, null));
        expect(error).toBeInstanceOf(InvalidImage);
        expect(error.details).toContain(text);
      });
      expect(sha256(await content())).toBe(before);
    });
});

onMachine(
  "with unpack_raw_images switched off the packed bytes are the disk's, as the Python agent has it",
  { config: { unpack_raw_images: false } },
  async ({ context, content }) => {
    const bytes = await packed(image, "gzip", "-1");
    await serving([file(bytes)], bytes, RAW, async (info) => {
      const error = await failure(writeImage(context, info, null));
      expect(error.details).toStartWith("Unable to find a valid partition table on the disk");
    });
    expect((await content()).subarray(MEBIBYTE, bytes.length).equals(bytes.subarray(MEBIBYTE))).toBe(true);
  },
);

// deploy 11.31
describe("an image of unknown format that is the disk's own bytes", () => {
  onMachine("is streamed too, where the server gives parts", {}, async ({ context, content, reports }) => {
    await serving([file(image)], image, { stream_raw_images: true }, async (info, requests) => {
      await writeImage(context, info, null);
      expect(wholeRequests(requests)).toHaveLength(1);
    });
    expectImage(await content(), image);
    expect(reports.at(-1)).toMatchObject({ phase: "write", done: IMAGE });
  });

  onMachine("is copied first where it does not", {}, async ({ context, content, reports }) => {
    await serving([file(image, { ranges: false })], image, { stream_raw_images: true }, async (info) => {
      await writeImage(context, info, null);
    });
    expectImage(await content(), image);
    expect(reports.map(({ phase }) => phase)).toContain("download");
  });
});

// deploy 11.31
describe("other formats are converted where they are permitted", () => {
  const formats: [string, string[]][] = [
    ["vhd", ["-O", "vpc", "-o", "force_size=on"]],
    ["vhd", ["-O", "vpc", "-o", "subformat=fixed,force_size=on"]],
    ["vhdx", ["-O", "vhdx"]],
    ["vdi", ["-O", "vdi"]],
    ["vmdk", ["-O", "vmdk"]],
    ["vmdk", ["-O", "vmdk", "-o", "subformat=streamOptimized"]],
  ];
  for (const [name, options] of formats)
    onMachine(
      `${name} ${options.slice(2).join(" ")}`,
      { config: { permitted_image_formats: ["raw", name] } },
      async ({ context, content, programs }) => {
        const bytes = await converted(directory, image, ...options);
        await serving([file(bytes)], bytes, {}, async (info) => {
          await writeImage(context, info, null);
        });
        expectImage(await content(), image);
        expect(programs).toContain("qemu-img");
      },
    );

  // deploy 11.30
  onMachine("a qcow2 labelled raw is written byte for byte", {}, async ({ context, content, programs }) => {
    const bytes = await converted(directory, image, "-O", "qcow2");
    await serving([file(bytes)], bytes, RAW, async (info) => {
      const error = await failure(writeImage(context, info, null));
      expect(error.details).toStartWith("Unable to find a valid partition table on the disk");
    });
    expect((await content()).subarray(MEBIBYTE, bytes.length).equals(bytes.subarray(MEBIBYTE))).toBe(true);
    expect(programs).not.toContain("qemu-img");
  });
});
