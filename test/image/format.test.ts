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

// deploy 11.28
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

  // deploy 11.29
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

/** A little-endian number changed. */
function littlePatched(bytes: Uint8Array, offset: number, value: number | bigint): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  if (typeof value === "bigint") view.setBigUint64(offset, value, true);
  else view.setUint32(offset, value, true);
  return copy;
}

/** A copy with one text in place of another of the same length. */
function reworded(bytes: Uint8Array, from: string, to: string): Uint8Array {
  expect(to).toHaveLength(from.length);
  const copy = Buffer.from(bytes);
  const at = copy.indexOf(from);
  expect(at).toBeGreaterThan(0);
  copy.write(to, at, "latin1");
  return copy;
}

const UNSAFE = "Security: Image failed safety check";
const FOREIGN = { permitted: ["raw", "vhd", "vhdx", "vmdk", "vdi", "qed", "luks"] };

// deploy 11.28, 11.29, 11.31
describe("formats of others: refused unless permitted, and never if they refer to anything", () => {
  test.each([
    ["vmdk", "vmdk", []],
    ["vmdk", "vmdk", ["-o", "subformat=streamOptimized"]],
    ["vdi", "vdi", []],
    ["vdi", "vdi", ["-o", "static=on"]],
    ["vhdx", "vhdx", []],
    ["vpc", "vhd", ["-o", "subformat=dynamic,force_size=on"]],
    ["vpc", "vhd", ["-o", "subformat=fixed,force_size=on"]],
  ])("%s as %s %p", async (driver, name, options) => {
    const image = await created(driver, ...options);
    expect(await verdict(image)).toBe(
      `Security: Detected image format was ${name}, but only raw, gpt, qcow2 are allowed`,
    );
    expect(await verdict(image, FOREIGN)).toBe(`${name} ${VIRTUAL}`);
  });

  const refused: [string, () => Promise<Uint8Array>, string][] = [
    ["qed, always", () => created("qed"), "qed: the format is not supported"],
    [
      "VMDK in several files",
      () => created("vmdk", "-o", "subformat=monolithicFlat"),
      "vmdk: it is a descriptor alone",
    ],
    [
      "VMDK of another type",
      async () => reworded(await created("vmdk"), "monolithicSparse", "monolithicFlatXX"),
      "of the type 'monolithicflatxx'",
    ],
    [
      "VMDK whose extent is a file elsewhere",
      async () => reworded(await created("vmdk"), 'SPARSE "', 'FLAT "/'.padEnd(8)),
      "names a file elsewhere",
    ],
    [
      "VMDK with a line nobody knows",
      async () => reworded(await created("vmdk"), "# The Disk Data Base", "include /etc/shadow "),
      "a line nobody knows",
    ],
    [
      "VMDK with a parent",
      async () => {
        await tool("qemu-img", "create", "-q", "-f", "vmdk", `${directory}/parent.vmdk`, "8M");
        return created("vmdk", "-b", `${directory}/parent.vmdk`, "-F", "vmdk");
      },
      "it has a parent image",
    ],
    ["VMDK version 4", async () => littlePatched(await created("vmdk"), 4, 4), "unknown VMDK version 4"],
    ["VMDK of no size", async () => littlePatched(await created("vmdk"), 12, 0n), "impossible virtual size"],
    [
      "VMDK with its descriptor elsewhere",
      async () => littlePatched(await created("vmdk"), 28, 2n),
      "its descriptor is not at byte 512",
    ],
    [
      "VMDK with a descriptor of a gigabyte",
      async () => littlePatched(await created("vmdk"), 36, 1n << 21n),
      "impossible size of its descriptor",
    ],
    [
      "VHD with a parent",
      async () => patched(await created("vpc"), 60, 4),
      "no complete image (disk type 4)",
    ],
    ["VHDX without regions", async () => patched(await created("vhdx"), 192 * 1024, 0), "no region table"],
    ["VDI that is a difference", async () => littlePatched(await created("vdi"), 0x4c, 4), "a difference"],
    ["VDI cut in its header", async () => (await created("vdi")).slice(0, 100), "ends in its header"],
    [
      "LUKS version 2",
      async () => Buffer.from(`LUKS\xba\xbe\0\x02${"\0".repeat(600)}`, "latin1"),
      "unknown LUKS version 2",
    ],
  ];
  test.each(refused)("refused: %s", async (_, make, reason) => {
    const details = await verdict(await make(), FOREIGN);
    expect(details).toStartWith(UNSAFE);
    expect(details).toContain(reason);
  });

  test("VHDX with a parent", async () => {
    const image = await created("vhdx");
    // The metadata item "virtual disk size" turned into a parent locator.
    const at = Buffer.from(image).indexOf(Buffer.from("2442a52f1bcd7648b2115dbed83bf4b8", "hex"));
    expect(at).toBeGreaterThan(0);
    image.set(Buffer.from("2d5fd3a80bb34d45abf7d3d84834ab0c", "hex"), at);
    expect(await verdict(image, FOREIGN)).toContain("it has a parent image");
  });

  describe("a VMDK footer", () => {
    /** An image of qemu's with its grain directory moved to a footer, as VMware's own tools make them. */
    async function withFooter(change: (tail: DataView) => void = () => {}): Promise<Uint8Array> {
      const image = await created("vmdk", "-o", "subformat=streamOptimized");
      const footer = new Uint8Array(3 * 512);
      footer.set(image.subarray(0, 512), 512);
      const tail = new DataView(footer.buffer);
      tail.setBigUint64(0, 1n, true);
      tail.setUint32(12, 3, true);
      change(tail);
      return Buffer.concat([littlePatched(image, 56, 0xffff_ffff_ffff_ffffn), footer]);
    }

    test("that repeats the header is accepted", async () => {
      expect(await verdict(await withFooter(), FOREIGN)).toBe(`vmdk ${VIRTUAL}`);
    });

    test.each([
      ["version", (tail: DataView) => tail.setUint32(512 + 4, 2, true), "contradicts its header"],
      ["capacity", (tail: DataView) => tail.setUint32(512 + 12, 0, true), "contradicts its header"],
      ["descriptor", (tail: DataView) => tail.setUint32(512 + 28, 7, true), "contradicts its header"],
      ["magic", (tail: DataView) => tail.setUint32(512, 0), "contradicts its header"],
      ["first marker", (tail: DataView) => tail.setUint32(12, 1, true), "wrong markers"],
      ["last marker", (tail: DataView) => tail.setUint32(1024 + 12, 3, true), "wrong markers"],
      [
        "grain directory, elsewhere again",
        (tail: DataView) => tail.setBigUint64(512 + 56, 0xffff_ffff_ffff_ffffn, true),
        "points to another footer",
      ],
    ])("with another %s is refused", async (_, change, reason) => {
      expect(await verdict(await withFooter(change), FOREIGN)).toContain(reason);
    });
  });

  test("LUKS version 1, by the magic of its header", async () => {
    const image = Buffer.alloc(4096);
    image.write("LUKS\xba\xbe\x00\x01aes", "latin1");
    expect(await verdict(image)).toContain("format was luks");
    expect(await verdict(image, FOREIGN)).toBe("luks 4096");
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

// deploy 11.30, 11.31, 11.32; deploy 10, bugs 21 and 22
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
    expect(await verdict(await created("vdi"), { permitted: ["raw", "vdi"] })).toBe(`vdi ${VIRTUAL}`);
    expect(await verdict(await created("qcow2"), { permitted: ["raw", "docker"] })).toBe(
      "Security: Detected image format was qcow2, but only raw are allowed",
    );
  });

  test("without enforcement the format is still told, and what cannot be written still refused", async () => {
    expect(await verdict(new Uint8Array(1024), { enforce: false, expected: "qcow2" })).toBe("raw 1024");
    expect(await verdict(await created("vdi"), { enforce: false })).toBe(`vdi ${VIRTUAL}`);
    expect(await verdict(await created("qed"), { enforce: false })).toContain("format was qed");
  });
});

// deploy 11.34
describe("10,000 fuzzed headers end in a verdict, from few and small reads", () => {
  async function iso(): Promise<Uint8Array> {
    await Bun.write(`${directory}/fuzzed/file`, "content");
    await tool("genisoimage", "-quiet", "-o", `${directory}/fuzzed.iso`, `${directory}/fuzzed`);
    return new Uint8Array(await readFile(`${directory}/fuzzed.iso`));
  }

  /** The seed of each format, and where in it that is what tells the format and its size. */
  const seeds: [string, () => Promise<Uint8Array>, number[]][] = [
    ["qcow2", () => created("qcow2"), [0]],
    ["qcow2 version 2", () => created("qcow2", "-o", "compat=0.10"), [0]],
    ["vmdk", () => created("vmdk"), [0, 512, 1024]],
    ["vmdk, streamed", () => created("vmdk", "-o", "subformat=streamOptimized"), [0, 512, 1024]],
    ["vmdk, descriptor", () => created("vmdk", "-o", "subformat=monolithicFlat"), [0]],
    ["vhdx", () => created("vhdx"), [0, 192 * 1024, 2 * 1024 * 1024, 2 * 1024 * 1024 + 65_536]],
    ["vhd", () => created("vpc"), [0]],
    ["vdi", () => created("vdi"), [0]],
    ["qed", () => created("qed"), [0]],
    ["iso", iso, [0, 32_768]],
    ["partitions and nothing else", async () => Buffer.from(`${"\0".repeat(510)}U\xaa`, "latin1"), [0, 446]],
    ["raw", async () => new Uint8Array(64 * 1024), [0]],
  ];
  test.each(seeds)("%s", async (_, make, places) => {
    const seed = await make();
    const where = fc.tuple(fc.constantFrom(...places), fc.nat(511)).map(([place, at]) => place + at);
    const mutation = fc.array(fc.tuple(where, fc.nat(255)), { maxLength: 24 });
    const size = fc.oneof(fc.constant(seed.length), fc.nat(4096));
    await fc.assert(
      fc.asyncProperty(mutation, size, async (changes, length) => {
        let read = 0;
        const started = performance.now();
        const matches = await matchingFormats({
          size: length,
          read: async (offset, wanted) => {
            read += wanted;
            const part = seed.slice(offset, Math.max(offset, Math.min(offset + wanted, length)));
            for (const [at, value] of changes)
              if (at >= offset && at < offset + part.length) part[at - offset] = value;
            return new DataView(part.buffer);
          },
        });
        for (const { virtualSize } of matches) expect(Number.isSafeInteger(virtualSize)).toBe(true);
        expect(read).toBeLessThan(2.5 * 1024 * 1024);
        expect(performance.now() - started).toBeLessThan(1000);
      }),
      { numRuns: 10_000 },
    );
  });
});

test("a real file, read by the agent's own files", async () => {
  await tool("qemu-img", "create", "-q", "-f", "qcow2", `${directory}/real.qcow2`, "3T");
  await using file = await realFiles.open(`${directory}/real.qcow2`);
  expect(await inspectImage(file, POLICY)).toEqual({ name: "qcow2", virtualSize: 3 * 1024 ** 4 });
});
