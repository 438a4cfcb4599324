// What is left on a disk of a former life: superblocks of arrays at both ends, swap and a GPT, which an image of 32 MiB covers little of.
// The superblocks are written by hand, as the machine that runs the tests may have no md. Source: kernel md_p.h. deploy 11.37;
// deploy 10, bug 81

import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { writeImage } from "../../src/steps/write-image.ts";
import { realBlockDevices } from "../../src/system/block-device.ts";
import { file } from "../support/fault-server.ts";
import { tool } from "../support/loop-device.ts";
import { onMachine, partitionedImage, serving } from "./write-image-machine.ts";

const MD_MAGIC = 0xa92b4efc;
let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/old-life-`);
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

/** Version 1.x; `at` is its place in bytes, which it names itself. */
function modernSuperblock(at: number): Buffer {
  const block = Buffer.alloc(4096);
  block.writeUInt32LE(MD_MAGIC, 0);
  block.writeUInt32LE(1, 4);
  block.write("0123456789abcdef", 16);
  block.writeBigUInt64LE(BigInt(at / 512), 144);
  return block;
}

function oldSuperblock(): Buffer {
  const block = Buffer.alloc(4096);
  block.writeUInt32LE(MD_MAGIC, 0);
  block.writeUInt32LE(90, 8);
  return block;
}

async function signatures(disk: string): Promise<string[]> {
  const types = await tool("wipefs", "--noheadings", "--output", "TYPE", disk);
  return types
    .split("\n")
    .filter((type) => type !== "")
    .sort();
}

const lives: Record<string, (size: number) => [number, Buffer][]> = {
  "an array of version 1.2": () => [[4096, modernSuperblock(4096)]],
  "an array of version 1.1": () => [[0, modernSuperblock(0)]],
  "an array of version 1.0, at the end": (size) => [[size - 8192, modernSuperblock(size - 8192)]],
  "an array of version 0.90, at the end": (size) => [[size - 65_536, oldSuperblock()]],
  // Version and last page of its header, and its signature at the end of the first page.
  swap: () => [
    [1024, Buffer.from([1, 0, 0, 0, 255, 0, 0, 0])],
    [4086, Buffer.from("SWAPSPACE2")],
  ],
};
for (const [name, blocks] of Object.entries(lives))
  onMachine(
    `of ${name} nothing is seen any more after an MBR image was streamed`,
    {},
    async ({ disk, context }) => {
      {
        await using device = await realBlockDevices.open(disk, "write-exclusive");
        await device.write(Buffer.alloc(1024 * 1024), 0);
        for (const [at, block] of blocks(device.size)) await device.write(block, at);
        await device.flush();
      }
      const before = await signatures(disk);
      expect(before.filter((type) => type !== "gpt")).toEqual([
        name === "swap" ? "swap" : "linux_raid_member",
      ]);
      const image = await partitionedImage(directory, (path) =>
        tool("parted", "-s", path, "mklabel", "msdos", "mkpart", "primary", "ext4", "1MiB", "30MiB"),
      );
      await serving([file(image)], image, { disk_format: "raw", stream_raw_images: true }, async (info) => {
        await writeImage(context, info, null);
      });
      expect(await signatures(disk)).toEqual(["dos"]);
      expect((await tool("blkid", "-p", "-o", "value", "-s", "PTTYPE", disk)).trim()).toBe("dos");
    },
  );
