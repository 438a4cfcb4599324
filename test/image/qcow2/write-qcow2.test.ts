import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { ImageChecksumError, ImageWriteError, InvalidImage } from "../../../src/errors.ts";
import { HttpFault } from "../../../src/image/http-get.ts";
import type { Progress } from "../../../src/progress.ts";
import { rejection } from "../../support/rejection.ts";
import { diskContent, KIBIBYTE, MEBIBYTE, OLD, type Workshop, workshop, writeTo } from "./support.ts";

setDefaultTimeout(120_000);

/** No whole number of clusters of any size but 512, so that the last cluster is cut. */
const SIZE = 13 * MEBIBYTE + 3 * 512;
let shop: Workshop;
let content: Buffer;

beforeAll(async () => {
  shop = await workshop();
  content = diskContent(SIZE);
  await writeFile(shop.path("raw"), content);
});

afterAll(async () => {
  await shop[Symbol.asyncDispose]();
});

async function converted(...options: string[]): Promise<Buffer> {
  shop.tool(
    "qemu-img",
    "convert",
    "-f",
    "raw",
    "-O",
    "qcow2",
    ...options,
    shop.path("raw"),
    shop.path("img"),
  );
  return readFile(shop.path("img"));
}

/** The virtual disk, zeros where the image has nothing, and what was there before behind it. */
function expectDisk(disk: Buffer, virtual: Buffer): void {
  expect(disk.subarray(0, virtual.length).equals(virtual)).toBe(true);
  expect(disk.subarray(virtual.length).every((byte) => byte === OLD)).toBe(true);
}

describe("what qemu-img makes of a disk becomes that disk again (deploy 11.27)", () => {
  const clusterSizes = [512, 4 * KIBIBYTE, 64 * KIBIBYTE, 2 * MEBIBYTE];
  const variants: string[][] = [
    ...clusterSizes.map((size) => ["-o", `cluster_size=${size}`]),
    ...clusterSizes.map((size) => ["-c", "-o", `cluster_size=${size}`]),
    ...clusterSizes.map((size) => ["-c", "-o", `compression_type=zstd,cluster_size=${size}`]),
    ["-o", "compat=0.10"],
    ["-c", "-o", "compat=0.10"],
    ["-o", "preallocation=metadata"],
    ["-o", "preallocation=falloc"],
    ["-o", "preallocation=full"],
    ["-S", "0"],
    ["-o", "lazy_refcounts=on"],
    ["-o", "refcount_bits=64"],
    ["-W", "-m", "16"],
    ["-c", "-W", "-m", "16"],
  ];

  test.each(variants.map((options) => [options.join(" "), options] as const))("%s", async (_, options) => {
    const image = await converted(...options);
    const reports: Progress[] = [];
    let digest = "";
    const disk = await writeTo(shop.path("disk"), SIZE + 3 * MEBIBYTE, image, {
      reports,
      verify: (computed) => {
        digest = computed;
      },
    });
    expectDisk(disk, content);
    expect(digest).toBe(createHash("sha256").update(image).digest("hex"));
    const written = reports.filter(({ phase }) => phase === "write").at(-1);
    expect(written).toMatchObject({ done: image.length, total: image.length });
  });

  test("written in disorder, overwritten, zeroed and discarded, with a snapshot of an older state", async () => {
    const path = shop.path("worn");
    shop.tool("qemu-img", "create", "-q", "-f", "qcow2", path, String(SIZE));
    const io = (...commands: string[]) =>
      shop.tool("qemu-io", "-f", "qcow2", ...commands.flatMap((command) => ["-c", command]), path);
    io("write -P 0x11 9M 1M", "write -P 0x22 0 192k", "write -c -P 0x33 4M 64k", "write -P 0x44 12M 300k");
    shop.tool("qemu-img", "snapshot", "-c", "before", path);
    io("write -P 0x55 9M 128k", "write -z 64k 64k", "write -z -u 12M 64k", "discard 9600k 256k");
    io("write -c -P 0x66 6M 64k", "write -P 0x77 6200k 8k", "write -P 0x88 2M 70000");
    shop.tool("qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, shop.path("worn.raw"));
    const virtual = await readFile(shop.path("worn.raw"));
    expect(virtual.some((byte) => byte === 0x55)).toBe(true);
    expectDisk(await writeTo(shop.path("disk"), SIZE + MEBIBYTE, await readFile(path)), virtual);
  });

  test("empty, or smaller than what is written last", async () => {
    for (const size of [512, 64 * KIBIBYTE, 5 * MEBIBYTE]) {
      shop.tool("qemu-img", "create", "-q", "-f", "qcow2", shop.path("empty"), String(size));
      const disk = await writeTo(shop.path("disk"), size + MEBIBYTE, await readFile(shop.path("empty")));
      expectDisk(disk, Buffer.alloc(size));
    }
  });

  test.each([61, 511, 65_536, 5 * MEBIBYTE])("in chunks of %p bytes", async (piece) => {
    expectDisk(await writeTo(shop.path("disk"), SIZE, await converted("-c"), { piece }), content);
  });
});

describe("failures", () => {
  async function expectWiped(): Promise<void> {
    const disk = await readFile(shop.path("disk"));
    expect(disk.subarray(0, MEBIBYTE).equals(Buffer.alloc(MEBIBYTE))).toBe(true);
    expect(disk.subarray(-MEBIBYTE).equals(Buffer.alloc(MEBIBYTE))).toBe(true);
  }

  test("a wrong checksum: the first mebibyte is never written", async () => {
    const image = await converted("-c");
    const verify = (digest: string) => {
      throw new ImageChecksumError("img", "disk", "aa", digest);
    };
    const error = await rejection(writeTo(shop.path("disk"), SIZE, image, { verify }));
    expect(error).toBeInstanceOf(ImageChecksumError);
    await expectWiped();
  });

  test("tables in the body that are not the ones read ahead", async () => {
    const image = await converted();
    const l1 = Number(image.readBigUInt64BE(40));
    const l2 = Number(image.readBigUInt64BE(l1) & 0x00fffffffffffe00n);
    for (const at of [60, l1 + 7, l2 + 8]) {
      const body = Buffer.from(image);
      body[at]! ^= 1;
      const error = await rejection(writeTo(shop.path("disk"), SIZE, image, { body }));
      expect(error).toBeInstanceOf(HttpFault);
      expect((error as HttpFault).permanent).toBe(false);
      expect((error as HttpFault).message).toContain("were others when they were read ahead");
      await expectWiped();
    }
  });

  /** The file offset of the first compressed cluster. */
  function firstPacked(image: Buffer): number {
    const l2 = Number(image.readBigUInt64BE(Number(image.readBigUInt64BE(40))) & 0x00fffffffffffe00n);
    for (let at = l2; ; at += 8) {
      const entry = image.readBigUInt64BE(at);
      if ((entry & (1n << 62n)) !== 0n) return Number(entry & ((1n << 54n) - 1n));
    }
  }

  test.each([
    ["zlib", ["-c"]],
    ["zstd", ["-c", "-o", "compression_type=zstd"]],
  ])(
    "a compressed cluster (%s) that does not unpack, under the right checksum and a wrong one",
    async (_, options) => {
      const image = await converted(...options);
      image.fill(0xff, firstPacked(image), firstPacked(image) + 64);
      const error = await rejection(writeTo(shop.path("disk"), SIZE, image));
      expect(error).toBeInstanceOf(InvalidImage);
      expect((error as InvalidImage).details).toContain(
        `at byte ${firstPacked(image)} of the image does not unpack`,
      );
      await expectWiped();
      const verify = (digest: string) => {
        throw new ImageChecksumError("img", "disk", "aa", digest);
      };
      expect(await rejection(writeTo(shop.path("disk"), SIZE, image, { verify }))).toBeInstanceOf(
        ImageChecksumError,
      );
    },
  );

  test("a device that is smaller than the image is left alone", async () => {
    const error = await rejection(writeTo(shop.path("disk"), SIZE - 512, await converted()));
    expect(error).toBeInstanceOf(ImageWriteError);
    expect((error as ImageWriteError).details).toContain(`The image has ${SIZE} bytes`);
    expect((await readFile(shop.path("disk"))).every((byte) => byte === OLD)).toBe(true);
  });
});
