// Files packed by the programs everybody uses, whole and damaged, through the agent's own way back.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { type Compression, compressionOf, unpack } from "../../../src/image/unpack/compression.ts";
import { UnpackError } from "../../../src/image/unpack/unpack-error.ts";

setDefaultTimeout(120_000);

const MEBIBYTE = 1024 * 1024;
const PACKERS: Record<Compression, string[][]> = {
  gzip: [["gzip", "-c"]],
  zstd: [
    ["zstd", "-q", "-c"],
    ["zstd", "-q", "-c", "--no-check", "-19"],
  ],
  xz: [
    ["xz", "-c", "-1"],
    ["xz", "-c", "-T2", "--block-size=1MiB"],
    ["xz", "-c", "--check=crc32"],
  ],
};
const KINDS = Object.keys(PACKERS) as Compression[];

let directory = "";
let content: Buffer;
const packed = new Map<Compression, Buffer>();

beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/unpack-`);
  content = Buffer.alloc(5 * MEBIBYTE + 17);
  for (let at = MEBIBYTE; at < 3 * MEBIBYTE; at += 8) content.writeUInt32LE((at * 2654435761) % 2 ** 32, at);
  await writeFile(`${directory}/content`, content);
  for (const kind of KINDS) packed.set(kind, await pack(PACKERS[kind][0]!));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

async function pack(argv: string[], file = `${directory}/content`): Promise<Buffer> {
  const child = Bun.spawn(argv, { stdin: Bun.file(file), stdout: "pipe" });
  const bytes = Buffer.from(await new Response(child.stdout).arrayBuffer());
  expect(await child.exited).toBe(0);
  return bytes;
}

/** Pieces of `size` bytes out of one buffer that is filled anew each time, as a file is read. */
async function* pieces(bytes: Uint8Array, size: number, seen = { bytes: 0 }): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(size);
  for (let at = 0; at < bytes.length; at += size) {
    const part = bytes.subarray(at, at + size);
    buffer.set(part);
    seen.bytes += part.length;
    yield buffer.subarray(0, part.length);
  }
}

async function unpacked(
  kind: Compression,
  bytes: Uint8Array,
  size = 65_536,
  seen = { bytes: 0 },
): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of unpack(kind, pieces(bytes, size, seen))) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

async function refusal(kind: Compression, bytes: Uint8Array): Promise<string> {
  const seen = { bytes: 0 };
  try {
    await unpacked(kind, bytes, 65_536, seen);
  } catch (error) {
    expect(error).toBeInstanceOf(UnpackError);
    // For the checksum, which says whether the file or the transfer is to blame.
    expect(seen.bytes).toBe(bytes.length);
    return (error as UnpackError).message;
  }
  return "it was accepted";
}

const whole = (kind: Compression) => packed.get(kind) as Buffer;

describe.each(KINDS)("%s", (kind) => {
  test.each(PACKERS[kind].map((argv) => [argv.join(" "), argv] as const))("of %s", async (_, argv) => {
    const bytes = await pack(argv);
    expect(compressionOf(bytes)).toBe(kind);
    expect((await unpacked(kind, bytes)).equals(content)).toBe(true);
  });

  test.each([1, 3, 4096])("in pieces of %p bytes", async (size) => {
    await writeFile(`${directory}/short`, content.subarray(MEBIBYTE, MEBIBYTE + 70_000));
    const bytes = await pack(PACKERS[kind][0]!, `${directory}/short`);
    const result = await unpacked(kind, bytes, size);
    expect(result.equals(content.subarray(MEBIBYTE, MEBIBYTE + 70_000))).toBe(true);
  });

  test("of nothing", async () => {
    await writeFile(`${directory}/empty`, "");
    expect(await unpacked(kind, await pack(PACKERS[kind][0]!, `${directory}/empty`))).toHaveLength(0);
  });

  test("cut short, anywhere", async () => {
    for (const keep of [6, 20, 70_000, whole(kind).length - 8, whole(kind).length - 1])
      expect([keep, await refusal(kind, whole(kind).subarray(0, keep))]).toEqual([keep, "it ends too early"]);
  });

  test("followed by something else", async () => {
    for (const tail of ["junk", "x", "more than a header, and of no known format"])
      expect(await refusal(kind, Buffer.concat([whole(kind), Buffer.from(tail)]))).toMatch(
        /follow|ends too early/,
      );
  });

  test("with a flipped bit in the middle", async () => {
    const flipped = Buffer.from(whole(kind));
    flipped[flipped.length >> 1]! ^= 4;
    expect(await refusal(kind, flipped)).not.toBe("it was accepted");
  });

  test("what the source throws passes through", async () => {
    const gone = new Error("the connection is gone");
    async function* breaking() {
      yield whole(kind).subarray(0, 100_000);
      throw gone;
    }
    const reading = async () => {
      for await (const _ of unpack(kind, breaking()));
    };
    expect(await reading().catch((error: unknown) => error)).toBe(gone);
  });

  test("given up in the middle, the source is closed", async () => {
    let closed = false;
    async function* endless() {
      try {
        for await (const piece of pieces(whole(kind), 1000)) yield piece;
      } finally {
        closed = true;
      }
    }
    for await (const part of unpack(kind, endless())) if (part.length > 0) break;
    expect(closed).toBe(true);
  });

  test("any damage ends in the content or an error", async () => {
    await writeFile(`${directory}/small`, content.subarray(MEBIBYTE - 500, MEBIBYTE + 1500));
    const bytes = await pack(PACKERS[kind][0]!, `${directory}/small`);
    const damage = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(damage, async (changes) => {
        const damaged = Buffer.from(bytes);
        for (const [at, value] of changes) damaged[at] = value;
        const result = await unpacked(kind, damaged).catch((error: unknown) => error);
        if (!(result instanceof Buffer)) expect(result).toBeInstanceOf(UnpackError);
      }),
      { numRuns: 300 },
    );
  });
});

test.each(KINDS)("several files of %s in one", async (kind) => {
  const twice = Buffer.concat([whole(kind), whole(kind)]);
  expect((await unpacked(kind, twice)).equals(Buffer.concat([content, content]))).toBe(true);
});

test("windows that would take the machine's memory", async () => {
  const big = await pack(["zstd", "-q", "-c", "--long=31", "--ultra", "-1"]);
  const greedy = Buffer.from(big);
  expect(greedy.readUInt8(4) & 0x20).toBe(0);
  greedy.writeUInt8(21 << 3, 5); // 2 GiB
  expect(await refusal("zstd", greedy)).toContain("a window of 2147483648 bytes");
  const huge = await pack(["xz", "-c", "--lzma2=dict=128MiB"]);
  expect(await refusal("xz", huge)).toBe("its dictionary is larger than 64 MiB; pack it with -9 or less");
});

test("a disk whose boot code begins like a packed file is a disk", () => {
  const sector = Buffer.alloc(512);
  sector.set([0x1f, 0x8b, 0x08]);
  expect(compressionOf(sector)).toBe("gzip");
  sector.set([0x55, 0xaa], 510);
  expect(compressionOf(sector)).toBeNull();
  expect(compressionOf(new Uint8Array(0))).toBeNull();
});
