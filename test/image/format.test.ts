// Real images made by qemu-img, sgdisk and mkisofs; hostile ones made by changing single bytes of those.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readFile, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { InvalidImage } from "../../src/errors.ts";
import { type FormatPolicy, inspectImage, matchingFormats } from "../../src/image/format.ts";
import type { FileSource } from "../../src/system/files.ts";
import { realFiles } from "../../src/system/files.ts";

// Tens of thousands of fuzzed headers, on a machine that may be busy.
setDefaultTimeout(60_000);

let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/format-`);
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

async function tool(...argv: string[]): Promise<void> {
  const child = Bun.spawn(argv, { stdout: "ignore", stderr: "pipe" });
  if ((await child.exited) !== 0)
    throw new Error(`${argv.join(" ")}: ${await new Response(child.stderr).text()}`);
}

/** The bytes of an image made by `qemu-img create`. */
async function created(format: string, ...options: string[]): Promise<Uint8Array<ArrayBuffer>> {
  const path = `${directory}/created`;
  await rm(path, { force: true });
  await tool("qemu-img", "create", "-q", "-f", format, ...options, path, "8M");
  return new Uint8Array(await readFile(path));
}

function source(bytes: Uint8Array, size = bytes.length): FileSource {
  return {
    size,
    read: async (buffer, offset) => {
      const part = bytes.subarray(offset, offset + buffer.length);
      buffer.set(part);
      return part.length;
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

const POLICY: FormatPolicy = { permitted: ["raw", "gpt", "qcow2"], expected: null, enforce: true };

async function verdict(bytes: Uint8Array, policy: Partial<FormatPolicy> = {}): Promise<string> {
  try {
    const { name, virtualSize } = await inspectImage(source(bytes), { ...POLICY, ...policy });
    return `${name} ${virtualSize}`;
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidImage);
    return (error as InvalidImage).details;
  }
}

/** A copy with one big-endian number changed. */
function patched(bytes: Uint8Array, offset: number, value: number | bigint): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  if (typeof value === "bigint") view.setBigUint64(offset, value);
  else view.setUint32(offset, value);
  return copy;
}

const VIRTUAL = 8 * 1024 * 1024;

describe("qcow2", () => {
  test.each([
    [["-o", "compat=0.10"]],
    [["-o", "compat=1.1"]],
    [["-o", "compat=1.1,compression_type=zstd"]],
    [["-o", "compat=1.1,lazy_refcounts=on"]],
    [["-o", "cluster_size=512"]],
    [["-o", "cluster_size=2M"]],
  ])("%p is accepted with its virtual size", async (options) => {
    expect(await verdict(await created("qcow2", ...options))).toBe(`qcow2 ${VIRTUAL}`);
  });

  const refused: [string, () => Promise<Uint8Array>, string][] = [
    [
      "backing file",
      async () => {
        await tool("qemu-img", "create", "-q", "-f", "raw", `${directory}/base`, "8M");
        return created("qcow2", "-b", `${directory}/base`, "-F", "raw");
      },
      "it has a backing file",
    ],
    [
      "external data file",
      () => created("qcow2", "-o", `data_file=${directory}/data`),
      "it has an external data file",
    ],
    [
      "extended L2",
      () => created("qcow2", "-o", "extended_l2=on,cluster_size=128k"),
      "it needs features this agent does not know (0x10)",
    ],
    ["encryption", async () => patched(await created("qcow2"), 32, 2), "it is encrypted"],
    [
      "an unknown feature",
      async () => patched(await created("qcow2"), 72, 1n << 63n),
      "features this agent does not know",
    ],
    ["version 1", async () => patched(await created("qcow2"), 4, 1), "unknown qcow2 version 1"],
    ["version 4", async () => patched(await created("qcow2"), 4, 4), "unknown qcow2 version 4"],
    ["cluster bits 8", async () => patched(await created("qcow2"), 20, 8), "impossible cluster size"],
    ["cluster bits 22", async () => patched(await created("qcow2"), 20, 22), "impossible cluster size"],
    [
      "L1 table beyond the end",
      async () => patched(await created("qcow2"), 40, 1n << 40n),
      "its L1 table lies beyond",
    ],
    [
      "L1 table too large",
      async () => patched(await created("qcow2"), 36, 0x7fffffff),
      "its L1 table lies beyond",
    ],
    [
      "reference counts beyond the end",
      async () => patched(await created("qcow2"), 48, 1n << 62n),
      "its reference count table",
    ],
    [
      "impossible size",
      async () => patched(await created("qcow2"), 24, 1n << 63n),
      "impossible virtual size",
    ],
    ["header length", async () => patched(await created("qcow2"), 100, 20), "impossible header length"],
    ["cut in the header", async () => (await created("qcow2")).slice(0, 60), "the file ends in its header"],
    [
      "cut in the second half of the header",
      async () => (await created("qcow2")).slice(0, 80),
      "beyond the end of the file",
    ],
    [
      "unknown compression",
      async () => {
        const image = await created("qcow2", "-o", "compression_type=zstd");
        image[104] = 2;
        return image;
      },
      "unknown compression type 2",
    ],
  ];
  test.each(refused)("refused: %s", async (_, make, reason) => {
    const details = await verdict(await make());
    expect(details).toStartWith("Security: Image failed safety check (qcow2: ");
    expect(details).toContain(reason);
  });

  test("a version 2 header has no feature bits: what stands there is something else", async () => {
    const image = patched(await created("qcow2", "-o", "compat=0.10"), 72, 1n << 2n);
    expect(await verdict(image)).toBe(`qcow2 ${VIRTUAL}`);
  });

  test("with a boot signature it is two things at once", async () => {
    const image = await created("qcow2");
    image[510] = 0x55;
    image[511] = 0xaa;
    expect(await verdict(image)).toBe("Security: Image matched multiple potential formats (qcow2, gpt)");
  });
});

describe("raw and partitioned images", () => {
  async function disk(...sgdisk: string[]): Promise<Uint8Array<ArrayBuffer>> {
    const path = `${directory}/disk`;
    await rm(path, { force: true });
    await Bun.write(path, "");
    await truncate(path, VIRTUAL);
    await tool("sgdisk", ...sgdisk, path);
    return new Uint8Array(await readFile(path));
  }

  test("bytes of no known format are raw, as large as the file", async () => {
    expect(await verdict(new Uint8Array(VIRTUAL))).toBe(`raw ${VIRTUAL}`);
    expect(await verdict(new Uint8Array(0))).toBe("raw 0");
    expect(await verdict(Buffer.from("hello"))).toBe("raw 5");
  });

  test("a GPT and an MBR are gpt", async () => {
    expect(await verdict(await disk("-n", "1:0:0"))).toBe(`gpt ${VIRTUAL}`);
    expect(await verdict(await disk("-n", "1:0:0", "-m", "1"))).toBe(`gpt ${VIRTUAL}`);
  });

  test("an MBR that contradicts itself is refused", async () => {
    const gpt = await disk("-n", "1:0:0");
    const changed = (offset: number, value: number) => {
      const copy = gpt.slice();
      copy[offset] = value;
      return copy;
    };
    expect(await verdict(changed(446, 0x01))).toContain("has the boot flag 1");
    expect(await verdict(changed(447, 0x01))).toContain("impossible place (CHS)");
    expect(await verdict(changed(454, 2))).toContain("does not start at sector 1");
    expect(await verdict(changed(462 + 4, 0x83))).toContain("not the only one");
    expect(await verdict(changed(450, 0))).toContain("the partition table is empty");
  });

  test("a FAT file system with a boot signature is raw", async () => {
    const path = `${directory}/fat`;
    await rm(path, { force: true });
    await tool("mkfs.vfat", "-C", path, "8192");
    expect(await verdict(new Uint8Array(await readFile(path)))).toBe(`raw ${VIRTUAL}`);
  });
});

describe("what is recognised so that it does not pass as raw", () => {
  test.each(["vmdk", "vdi", "vhdx", "qed"])("%s", async (format) => {
    expect(await verdict(await created(format))).toBe(
      `Security: Detected image format was ${format}, but only raw, gpt, qcow2 are allowed`,
    );
  });

  test("LUKS, by the magic of its header", async () => {
    const image = Buffer.alloc(4096);
    image.write("LUKS\xba\xbe\x00\x01aes", "latin1");
    expect(await verdict(image)).toContain("format was luks");
  });

  test("VHD, dynamic and fixed", async () => {
    for (const subformat of ["dynamic", "fixed"])
      expect(await verdict(await created("vpc", "-o", `subformat=${subformat}`))).toContain("format was vhd");
  });

  test("VMDK descriptors that name other files", async () => {
    for (const subformat of ["monolithicFlat", "streamOptimized", "twoGbMaxExtentSparse"])
      expect(await verdict(await created("vmdk", "-o", `subformat=${subformat}`))).toContain(
        "format was vmdk",
      );
  });

  test("ISO 9660", async () => {
    await Bun.write(`${directory}/tree/file`, "content");
    const path = `${directory}/cd.iso`;
    await tool("genisoimage", "-quiet", "-J", "-r", "-o", path, `${directory}/tree`);
    const iso = new Uint8Array(await readFile(path));
    expect(await verdict(iso)).toContain("format was iso");
    expect(await verdict(iso, { permitted: ["iso"] })).toBe(`iso ${iso.length}`);
    iso[510] = 0x55;
    iso[511] = 0xaa;
    expect(await verdict(iso)).toContain("multiple potential formats (gpt, iso)");
  });
});

describe("policy", () => {
  test("disk_format raw and gpt are taken at their word, byte by byte", async () => {
    const image = await created("qcow2", "-o", "compat=1.1");
    expect(await verdict(image, { expected: "raw" })).toBe(`raw ${image.length}`);
    expect(await verdict(image, { expected: "gpt" })).toBe(`gpt ${image.length}`);
  });

  test("a disk_format that is not what the bytes are", async () => {
    expect(await verdict(new Uint8Array(1024), { expected: "qcow2" })).toBe(
      "Security: Expected format was qcow2, but image was actually raw",
    );
  });

  test("disk_formats that say how an image is used count for nothing", async () => {
    for (const expected of ["unknown", "ami", "bare", "iso"])
      expect(await verdict(new Uint8Array(1024), { expected })).toBe("raw 1024");
  });

  test("permitted formats", async () => {
    const image = await created("qcow2");
    expect(await verdict(image, { permitted: ["raw"] })).toBe(
      "Security: Detected image format was qcow2, but only raw are allowed",
    );
    expect(await verdict(await created("vdi"), { permitted: ["raw", "vdi"] })).toBe(
      "Security: Detected image format was vdi, but only raw are allowed",
    );
  });

  test("without enforcement the format is still told, and what cannot be written still refused", async () => {
    expect(await verdict(new Uint8Array(1024), { enforce: false, expected: "qcow2" })).toBe("raw 1024");
    expect(await verdict(await created("vdi"), { enforce: false })).toContain("format was vdi");
  });
});

test("10,000 fuzzed headers of each format end in a verdict, from few and small reads", async () => {
  const seeds = [
    await created("qcow2"),
    await created("vmdk"),
    await created("vhdx"),
    await created("vdi"),
    await created("vpc"),
    new Uint8Array(4096),
  ];
  for (const seed of seeds) {
    const header = seed.subarray(0, 2048);
    const mutation = fc.array(
      fc.tuple(fc.integer({ min: 0, max: header.length - 1 }), fc.integer({ min: 0, max: 255 })),
      {
        maxLength: 24,
      },
    );
    await fc.assert(
      fc.asyncProperty(mutation, fc.integer({ min: 0, max: 4096 }), async (changes, size) => {
        const bytes = header.slice();
        for (const [at, value] of changes) bytes[at] = value;
        let read = 0;
        const matches = await matchingFormats({
          size,
          read: async (offset, length) => {
            read += length;
            const part = bytes.slice(offset, Math.min(offset + length, size));
            return new DataView(part.buffer);
          },
        });
        for (const { name } of matches) expect(typeof name).toBe("string");
        expect(read).toBeLessThan(16 * 1024);
      }),
      { numRuns: 10_000 },
    );
  }
});

test("a real file, read by the agent's own files", async () => {
  await tool("qemu-img", "create", "-q", "-f", "qcow2", `${directory}/real.qcow2`, "3T");
  await using file = await realFiles.open(`${directory}/real.qcow2`);
  expect(await inspectImage(file, POLICY)).toEqual({ name: "qcow2", virtualSize: 3 * 1024 ** 4 });
});
