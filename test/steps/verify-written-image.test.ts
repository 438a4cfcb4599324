// verify_written_image on loop devices: everything is read back, from the medium and not from memory, and a disk that keeps something
// else than it was given is found out, whichever way the image came.

import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { gzipSync } from "node:zlib";
import { ImageWriteError } from "../../src/errors.ts";
import type { JsonObject } from "../../src/json.ts";
import { writeImage } from "../../src/steps/write-image.ts";
import type { System } from "../../src/system/system.ts";
import { file } from "../support/fault-server.ts";
import { tool } from "../support/loop-device.ts";
import {
  converted,
  expectImage,
  failure,
  IMAGE,
  isZero,
  makeGpt,
  onMachine,
  partitionedImage,
  RAW,
  serving,
} from "./write-image-machine.ts";

const MEBIBYTE = 1024 * 1024;
const config = { verify_written_image: true, permitted_image_formats: ["raw", "gpt", "qcow2", "vdi"] };

let directory = "";
let image: Buffer;

beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/verified-`);
  image = await partitionedImage(directory, makeGpt);
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

const ways: Record<string, () => Promise<{ bytes: Buffer; fields: JsonObject; ranges?: boolean }>> = {
  "raw, streamed": async () => ({ bytes: image, fields: RAW }),
  "packed raw": async () => ({ bytes: Buffer.from(gzipSync(image)), fields: RAW }),
  "qcow2, in one pass": async () => ({ bytes: await converted(directory, image, "-O", "qcow2"), fields: {} }),
  "compressed qcow2 with small clusters": async () => ({
    bytes: await converted(directory, image, "-c", "-O", "qcow2", "-o", "cluster_size=4k"),
    fields: {},
  }),
  "qcow2, by qemu-img": async () => ({
    bytes: await converted(directory, image, "-O", "qcow2"),
    fields: {},
    ranges: false,
  }),
  "vdi, by qemu-img": async () => ({ bytes: await converted(directory, image, "-O", "vdi"), fields: {} }),
};

/** A disk that flips one bit of the byte at `at` of what it is given; its own page cache shows what it was given. */
function flipping(system: System, backing: () => Promise<string>, at: number): System {
  const flip = async () => {
    const handle = await open(await backing(), "r+");
    try {
      const byte = Buffer.alloc(1);
      await handle.read(byte, 0, 1, at);
      byte[0] = (byte[0] ?? 0) ^ 1;
      await handle.write(byte, 0, 1, at);
      await handle.datasync();
    } finally {
      await handle.close();
    }
  };
  return {
    ...system,
    // Whoever writes, the flip happens between the last write and the comparison.
    run: async (argv, options) => {
      if (argv.includes("compare")) await flip();
      return system.run(argv, options);
    },
    blockDevices: {
      open: async (path, mode) => {
        if (mode === "read-uncached") await flip();
        return system.blockDevices.open(path, mode);
      },
    },
  };
}

describe("a good disk passes", () => {
  for (const [name, make] of Object.entries(ways))
    onMachine(name, { config }, async ({ context, content, reports }) => {
      const { bytes, fields, ranges } = await make();
      await serving([file(bytes, { ranges: ranges ?? true })], bytes, fields, async (info) => {
        await writeImage(context, info, null);
      });
      expectImage(await content(), image);
      const last = reports.at(-1);
      expect(last).toMatchObject({ phase: "verify", done: IMAGE, total: IMAGE });
    });
});

describe("a disk that keeps something else is found out, and does not boot", () => {
  for (const [place, at] of [
    ["in the data", 5 * MEBIBYTE + 77],
    ["in the zeros", 25 * MEBIBYTE + 3],
    ["in the partition table", 600],
  ] as const)
    for (const [name, make] of Object.entries(ways)) {
      let disk = "";
      const backing = async () =>
        (await tool("losetup", "--noheadings", "--raw", "--output", "BACK-FILE", disk)).trim();
      onMachine(
        `${place}: ${name}`,
        { config, change: (system) => flipping(system, backing, at) },
        async (machine) => {
          disk = machine.disk;
          const { bytes, fields, ranges } = await make();
          await serving([file(bytes, { ranges: ranges ?? true })], bytes, fields, async (info, requests) => {
            const error = await failure(writeImage(machine.context, info, null));
            expect(error).toBeInstanceOf(ImageWriteError);
            expect(error.details).toMatch(
              /^What is on \/dev\/loop\d+ is not what (was written|the image holds)/,
            );
            if (error.details.includes("the first at"))
              expect(Number(/at byte (\d+)/.exec(error.details)?.[1])).toBeLessThanOrEqual(at);
            expect(requests.filter(({ headers }) => headers.range === undefined)).toHaveLength(1);
          });
          const content = await machine.content();
          expect(isZero(content.subarray(0, MEBIBYTE))).toBe(true);
          expect(isZero(content.subarray(-MEBIBYTE))).toBe(true);
        },
      );
    }
});

onMachine("without the option nothing is read back", {}, async ({ context, reports }) => {
  await serving([file(image)], image, RAW, async (info) => {
    await writeImage(context, info, null);
  });
  expect(reports.map(({ phase }) => phase)).not.toContain("verify");
});
