// qcow2 files as somebody would make them who wants the agent to crash, to hang, to eat its memory, or to write where it must not.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { deflateRawSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { InvalidImage } from "../../../src/errors.ts";
import { inspectImage } from "../../../src/image/format.ts";
import { HttpFault } from "../../../src/image/http-get.ts";
import { ProbedImage, ProbeLimitError } from "../../../src/image/probed-image.ts";
import { readClusterMap } from "../../../src/image/qcow2/cluster-map.ts";
import {
  PackedClusterError,
  unpackCluster,
  zstdFrameLength,
} from "../../../src/image/qcow2/unpack-cluster.ts";
import { rejection } from "../../support/rejection.ts";
import { KIBIBYTE, MEBIBYTE, probedImage, type Workshop, workshop, writeTo } from "./support.ts";

setDefaultTimeout(120_000);

const CLUSTER = 64 * KIBIBYTE;
const POLICY = { permitted: ["qcow2", "raw", "gpt"], expected: "qcow2", enforce: true };
const COPIED = 1n << 63n;
const COMPRESSED = 1n << 62n;
const { signal } = new AbortController();
let shop: Workshop;

beforeAll(async () => {
  shop = await workshop();
});

afterAll(async () => {
  await shop[Symbol.asyncDispose]();
});

type Parts = {
  version?: number;
  bits?: number;
  size?: number;
  l1?: bigint[];
  l2?: bigint[];
  clusters?: number;
};

/** Header in cluster 0, reference counts (of no interest) in 1, L1 table in 2, L2 table in 3, data from 4 on. */
function qcow2File({
  version = 3,
  bits = 16,
  size = 8 * MEBIBYTE,
  l1,
  l2 = [],
  clusters = 8,
}: Parts): Buffer {
  const file = Buffer.alloc(clusters * CLUSTER);
  file.write("QFI\xfb", 0, "latin1");
  file.writeUInt32BE(version, 4);
  file.writeUInt32BE(bits, 20);
  file.writeBigUInt64BE(BigInt(size), 24);
  const table = l1 ?? [BigInt(3 * CLUSTER) | COPIED];
  file.writeUInt32BE(table.length, 36);
  file.writeBigUInt64BE(BigInt(2 * CLUSTER), 40);
  file.writeBigUInt64BE(BigInt(CLUSTER), 48);
  file.writeUInt32BE(1, 56);
  file.writeUInt32BE(4, 96);
  file.writeUInt32BE(104, 100);
  for (const [index, entry] of table.entries()) file.writeBigUInt64BE(entry, 2 * CLUSTER + index * 8);
  for (const [index, entry] of l2.entries()) file.writeBigUInt64BE(entry, 3 * CLUSTER + index * 8);
  for (let cluster = 4; cluster < clusters; cluster++)
    file.fill(cluster, cluster * CLUSTER, (cluster + 1) * CLUSTER);
  return file;
}

async function refusal(file: Buffer): Promise<string> {
  await inspectImage(probedImage(file), POLICY);
  const error = await rejection(readClusterMap(probedImage(file), signal));
  expect(error).toBeInstanceOf(InvalidImage);
  return (error as InvalidImage).details;
}

const at = (cluster: number) => BigInt(cluster * CLUSTER);

describe("tables that point to impossible places are refused before anything is written", () => {
  test.each([
    ["an L2 table behind the end", { l1: [at(800)] }, "L2 table 0 lies beyond the end"],
    ["an L2 table in the last sector", { l1: [at(8) - 512n] }, "not at the start of a cluster"],
    ["an L2 table at 2^55", { l1: [1n << 55n] }, "L2 table 0 lies beyond the end"],
    ["a cluster behind the end", { l2: [at(4), at(8)] }, "cluster 1 lies beyond the end"],
    ["a cluster at 2^55", { l2: [1n << 55n] }, "cluster 0 lies beyond the end"],
    ["a cluster at an odd place", { l2: [at(4) + 512n] }, "cluster 0 is not at the start of a cluster"],
    ["a compressed cluster behind the end", { l2: [COMPRESSED | at(8)] }, "cluster 0 lies beyond the end"],
    ["a compressed cluster at 2^53", { l2: [COMPRESSED | (1n << 53n)] }, "cluster 0 lies beyond the end"],
    ["zeros in version 2", { version: 2, l2: [1n] }, "version 2 does not have"],
    ["an L1 table that is too small", { size: 2 ** 30 }, "L1 table is too small"],
  ] satisfies [string, Parts, string][])("%s", async (_, parts, text) => {
    expect(await refusal(qcow2File(parts))).toContain(text);
  });

  test("an L1 table of 4 GiB in a file of 512 KiB", async () => {
    const file = qcow2File({});
    file.writeUInt32BE(0x20000000, 36);
    const error = await rejection(inspectImage(probedImage(file), POLICY));
    expect((error as InvalidImage).details).toContain("L1 table lies beyond the end of the file");
  });
});

describe("tables that overlap are read as qemu reads them", () => {
  async function expectAsQemu(file: Buffer): Promise<Buffer> {
    await Bun.write(shop.path("hostile"), file);
    const raw = shop.path("hostile.raw");
    shop.tool("qemu-img", "convert", "-f", "qcow2", "-O", "raw", shop.path("hostile"), raw);
    const expected = await readFile(raw);
    const disk = await writeTo(shop.path("disk"), expected.length, file);
    expect(disk.equals(expected)).toBe(true);
    return disk;
  }

  test("all clusters are the same one, backwards, and the tables themselves", async () => {
    const clusters = Array.from(
      { length: 100 },
      (_, index) => at([5, 4, 7, 6, 3, 2, 1, 5][index % 8]!) | COPIED,
    );
    await expectAsQemu(qcow2File({ l2: clusters }));
  });

  test("compressed clusters that share bytes with each other and with plain ones", async () => {
    const file = qcow2File({
      l2: [at(4), COMPRESSED | at(5), COMPRESSED | (at(5) + 100n), at(5), COMPRESSED | at(5)],
    });
    const packed = deflateRawSync(Buffer.alloc(CLUSTER, "abc"), { windowBits: 12 });
    file.set(packed, 5 * CLUSTER);
    // Starts in the middle of a stored block of the first one's padding.
    const second = deflateRawSync(Buffer.alloc(CLUSTER, "xyz"), { windowBits: 12 });
    file.writeBigUInt64BE(COMPRESSED | BigInt(5 * CLUSTER + packed.length) | (1n << 54n), 3 * CLUSTER + 16);
    file.set(second, 5 * CLUSTER + packed.length);
    expect(packed.length + second.length).toBeLessThan(1024);
    await expectAsQemu(file);
  });

  test("an L2 table that is the L1 table, and one table for everything", async () => {
    // Read as an L2 table, the L1 table's entries are clusters: itself.
    await expectAsQemu(qcow2File({ l1: [at(2) | COPIED], l2: [] }));
    await expectAsQemu(qcow2File({ bits: 12, l1: Array(4).fill(at(3)), l2: [at(4), 1n, 0n, at(5)] }));
  });
});

describe("what is read ahead has a limit", () => {
  test("a hundred thousand places", async () => {
    let reads = 0;
    const image = new ProbedImage(2 ** 45, async (_, length) => {
      reads++;
      return new Uint8Array(length);
    });
    const look = async () => {
      for (let place = 0; place < 100_000; place++) await image.read(new Uint8Array(512), place * MEBIBYTE);
    };
    expect(await rejection(look())).toBeInstanceOf(ProbeLimitError);
    expect(reads).toBeLessThanOrEqual(4096);
  });

  test("one place of a gigabyte", async () => {
    const image = new ProbedImage(2 ** 45, async (_, length) => new Uint8Array(length));
    expect(await rejection(image.read(new Uint8Array(2 ** 28), 0))).toBeInstanceOf(ProbeLimitError);
  });

  test("more pieces than a map may have", async () => {
    // 2^25 clusters of 512 bytes, none beside its neighbour, by one table that is used again and again.
    const file = qcow2File({ bits: 9, size: 2 ** 34, clusters: 80 });
    const perTable = 64;
    file.writeUInt32BE(2 ** 34 / 512 / perTable, 36);
    file.writeBigUInt64BE(BigInt(10 * CLUSTER), 40);
    for (let index = 0; index < 2 ** 34 / 512 / perTable; index++)
      file.writeBigUInt64BE(at(3), 10 * CLUSTER + index * 8);
    for (let entry = 0; entry < perTable; entry++)
      file.writeBigUInt64BE(at(4) + BigInt((entry % 2) * 1024), 3 * CLUSTER + entry * 8);
    expect(await rejection(readClusterMap(probedImage(file), signal))).toBeInstanceOf(ProbeLimitError);
  });

  test("a block that is another one when it is read again", async () => {
    let answers = 0;
    const image = new ProbedImage(2 ** 30, async (_, length) => new Uint8Array(length).fill(answers++));
    const buffer = new Uint8Array(512);
    for (let place = 0; place < 100; place++) await image.read(buffer, place * MEBIBYTE);
    expect(await rejection(image.read(buffer, 0))).toBeInstanceOf(HttpFault);
  });
});

describe("compressed clusters", () => {
  const bomb = Buffer.alloc(8 * MEBIBYTE);

  test("that unpack to more or less than a cluster", async () => {
    for (const [compression, pack] of [
      ["zlib", deflateRawSync],
      ["zstd", zstdCompressSync],
    ] as const)
      for (const size of [0, CLUSTER - 1, CLUSTER + 1, bomb.length]) {
        const packed = pack(bomb.subarray(0, size));
        const error = await rejection(unpackCluster(packed, { compression, clusterSize: CLUSTER }));
        expect(error).toBeInstanceOf(PackedClusterError);
      }
  });

  test("in several Zstandard frames, with anything behind them", async () => {
    const content = Buffer.alloc(CLUSTER, "0123456789");
    const frames = [content.subarray(0, 1000), content.subarray(1000)].map((part) => zstdCompressSync(part));
    const packed = Buffer.concat([...frames, Buffer.alloc(333, 0xab)]);
    expect(zstdFrameLength(packed)).toBe(frames[0]!.length);
    const unpacked = await unpackCluster(packed, { compression: "zstd", clusterSize: CLUSTER });
    expect(content.equals(unpacked)).toBe(true);
  });

  test("whose frame asks for a window of gigabytes", () => {
    const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x01, 0x00, 0x00]);
    expect(() => zstdFrameLength(frame)).toThrow("window");
  });

  test("of any bytes: a cluster, or an error", async () => {
    const start = fc.constantFrom(
      Buffer.alloc(0),
      zstdCompressSync(bomb.subarray(0, 700)),
      deflateRawSync(bomb),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("zlib" as const, "zstd" as const),
        start,
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(60),
        async (compression, head, tail, cut) => {
          const packed = Buffer.concat([head.subarray(0, Math.max(0, head.length - cut)), tail]);
          try {
            expect(await unpackCluster(packed, { compression, clusterSize: 512 })).toHaveLength(512);
          } catch (error) {
            if (!(error instanceof PackedClusterError)) throw error;
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

test("damaged headers and tables: a map within the file and the disk, or a refusal", async () => {
  const clean = qcow2File({ l2: [at(4), COMPRESSED | at(5), 1n, at(6) | COPIED, at(7)] });
  const places = [
    fc.nat(111),
    fc.integer({ min: 2 * CLUSTER, max: 2 * CLUSTER + 16 }),
    fc.integer({ min: 3 * CLUSTER, max: 3 * CLUSTER + 64 }),
  ];
  const damage = fc.array(fc.tuple(fc.oneof(...places), fc.nat(255)), { minLength: 1, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(damage, async (changes) => {
      const undo = changes.map(([place]) => [place, clean[place]!] as const);
      for (const [place, value] of changes) clean[place] = value;
      try {
        const image = probedImage(clean);
        const { name, virtualSize } = await inspectImage(image, { ...POLICY, expected: null });
        if (name !== "qcow2" || virtualSize > 2 ** 40) return;
        const map = await readClusterMap(image, signal);
        let end = 0;
        for (let index = 0; index < map.count; index++) {
          const extent = map.extent(index);
          expect(extent.host).toBeGreaterThanOrEqual(0);
          expect(extent.length).toBeGreaterThan(0);
          expect(extent.host + extent.length).toBeLessThanOrEqual(clean.length);
          expect(extent.guest).toBeGreaterThanOrEqual(end);
          end = extent.guest + map.guestLength(extent);
        }
        expect(end).toBeLessThanOrEqual(virtualSize);
      } catch (error) {
        if (!(error instanceof InvalidImage || error instanceof ProbeLimitError)) throw error;
      } finally {
        for (const [place, value] of undo.reverse()) clean[place] = value;
      }
    }),
    { numRuns: 2000 },
  );
});
