// Hostile images against the whole of write_image: refused before the disk is touched, and before any tool has seen them, whether the
// server gives parts of them or not. deploy 11.28, 11.29; deploy 10, bugs 20 and 21

import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { InvalidImage } from "../../src/errors.ts";
import { writeImage } from "../../src/steps/write-image.ts";
import { file } from "../support/fault-server.ts";
import { type HostileImage, hostileImages } from "../support/hostile-images.ts";
import { failure, makeGpt, onMachine, partitionedImage, serving, sha256 } from "./write-image-machine.ts";

const FORMATS = ["raw", "gpt", "qcow2", "iso", "vhd", "vhdx", "vmdk", "vdi", "qed", "luks"];

let directory = "";
let images: HostileImage[] = [];

beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/hostile-`);
  images = await hostileImages(await partitionedImage(directory, makeGpt));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

const ways: [string, boolean, boolean][] = [
  ["looked at ahead", true, true],
  ["copied into memory", false, false],
];
for (const [way, ranges, streams] of ways)
  onMachine(
    `${way}: each is refused, whatever is permitted`,
    { config: { permitted_image_formats: FORMATS } },
    async ({ context, content, programs }) => {
      const before = sha256(await content());
      expect(images.length).toBeGreaterThan(25);
      for (const { name, bytes, refusal } of images)
        await serving([file(bytes, { ranges })], bytes, { stream_raw_images: streams }, async (info) => {
          const error = await failure(writeImage(context, info, null));
          expect([name, error.constructor, error.details]).toEqual([
            name,
            InvalidImage,
            expect.stringContaining(refusal) as unknown as string,
          ]);
        });
      expect(sha256(await content())).toBe(before);
      for (const program of ["qemu-img", "wipefs", "sgdisk", "parted"])
        expect(programs).not.toContain(program);
    },
  );
