import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { ImageChecksumError, ImageWriteError } from "../../src/errors.ts";
import { ImageHasher } from "../../src/image/hasher.ts";
import { ProgressMeter } from "../../src/image/progress-meter.ts";
import { type StreamOptions, streamToDevice } from "../../src/image/stream-to-device.ts";
import type { Progress } from "../../src/progress.ts";
import { type BlockDevice, BlockDeviceIoError, realBlockDevices } from "../../src/system/block-device.ts";
import { recordedSystem } from "../support/recorded-system.ts";

// Every deploy flushes for real, which takes its time on a busy machine.
setDefaultTimeout(120_000);

const MEBIBYTE = 1024 * 1024;
const OLD = 0xee;
let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/stream-`);
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

/** A file standing in for a disk, full of what was there before. */
async function disk(size: number): Promise<string> {
  const path = `${directory}/disk`;
  await Bun.write(path, Buffer.alloc(size, OLD));
  return path;
}

/** An image whose every sector differs. */
function image(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 512) bytes.writeUInt32LE(at / 512 + 1, at);
  return bytes.fill(0x77, size - (size % 512));
}

async function* pieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

function options(more: Partial<StreamOptions> = {}, reports: Progress[] = []): StreamOptions {
  const system = recordedSystem();
  return {
    hasher: new ImageHasher({ algorithm: "sha256", engine: "native", log: system.log }),
    verify: () => {},
    length: null,
    meter: new ProgressMeter(system.clock, (report) => reports.push(report), "write", more.length ?? null),
    log: system.log,
    signal: new AbortController().signal,
    ...more,
  };
}

async function bytesOf(path: string): Promise<Buffer> {
  return Buffer.from(await Bun.file(path).arrayBuffer());
}

async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("it succeeded");
}

/** First and last mebibyte are zero: nothing boots, no table is found. */
async function expectWiped(path: string): Promise<void> {
  const bytes = await bytesOf(path);
  expect(bytes.subarray(0, MEBIBYTE).equals(Buffer.alloc(MEBIBYTE))).toBe(true);
  expect(bytes.subarray(-MEBIBYTE).equals(Buffer.alloc(MEBIBYTE))).toBe(true);
}

describe("an image arrives", () => {
  test("whatever its length and its pieces: the bytes, zeros to the end of the sector, the rest as it was", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 5 * MEBIBYTE }),
        fc.constantFrom(1000, 65_536, MEBIBYTE, 3 * MEBIBYTE + 7),
        async (size, piece) => {
          const path = await disk(6 * MEBIBYTE);
          const content = image(size);
          await using device = await realBlockDevices.open(path, "write-exclusive");
          let digest: string | null = null;
          const verify = (computed: string | null) => {
            digest = computed;
          };
          expect(await streamToDevice(device, pieces(content, piece), options({ verify }))).toBe(size);
          const after = await bytesOf(path);
          expect(after.subarray(0, size).equals(content)).toBe(true);
          const padded = Math.ceil(size / 512) * 512;
          expect(after.subarray(size, padded).every((byte) => byte === 0)).toBe(true);
          expect(after.subarray(padded).every((byte) => byte === OLD)).toBe(true);
          expect(digest as string | null).toBe(createHash("sha256").update(content).digest("hex"));
        },
      ),
      { numRuns: 30 },
    );
  });

  test("that fills the disk to its last byte", async () => {
    const path = await disk(3 * MEBIBYTE);
    const content = image(3 * MEBIBYTE);
    await using device = await realBlockDevices.open(path, "write-exclusive");
    await streamToDevice(device, pieces(content, 65_536), options({ length: content.length }));
    expect((await bytesOf(path)).equals(content)).toBe(true);
  });

  test("from one reused buffer, as a file is read", async () => {
    const path = await disk(6 * MEBIBYTE);
    const content = image(5 * MEBIBYTE);
    async function* reusing() {
      const buffer = new Uint8Array(MEBIBYTE);
      for (let at = 0; at < content.length; at += MEBIBYTE) {
        buffer.set(content.subarray(at, at + MEBIBYTE));
        yield buffer;
      }
    }
    await using device = await realBlockDevices.open(path, "write-exclusive");
    await streamToDevice(device, reusing(), options());
    expect((await bytesOf(path)).subarray(0, content.length).equals(content)).toBe(true);
  });

  test("with zeros left to the device, if it does that by itself", async () => {
    const path = await disk(8 * MEBIBYTE);
    const content = image(8 * MEBIBYTE);
    content.fill(0, 3 * MEBIBYTE, 6 * MEBIBYTE);
    await using device = await realBlockDevices.open(path, "write-exclusive");
    await streamToDevice(device, pieces(content, 65_536), options({ length: content.length }));
    expect((await bytesOf(path)).equals(content)).toBe(true);
    // A file with holes: the file system of the test may round, but not by a mebibyte.
    expect((await stat(path)).blocks * 512).toBeLessThan(6 * MEBIBYTE);
  });

  test("with progress that ends at the total", async () => {
    const path = await disk(4 * MEBIBYTE);
    const reports: Progress[] = [];
    await using device = await realBlockDevices.open(path, "write-exclusive");
    await streamToDevice(
      device,
      pieces(image(4 * MEBIBYTE), 65_536),
      options({ length: 4 * MEBIBYTE }, reports),
    );
    expect(reports[0]).toEqual({ phase: "write", done: 0, total: 4 * MEBIBYTE, unit: "bytes", rate: null });
    expect(reports.at(-1)).toMatchObject({ done: 4 * MEBIBYTE, total: 4 * MEBIBYTE });
  });
});

describe("the first mebibyte", () => {
  /** Wraps a device and notes what is done to it, in order. */
  function noting(device: BlockDevice, notes: string[]): BlockDevice {
    return {
      path: device.path,
      size: device.size,
      sectorSize: device.sectorSize,
      read: (buffer, offset) => device.read(buffer, offset),
      write: (bytes, offset) => {
        notes.push(`write ${offset / MEBIBYTE}`);
        return device.write(bytes, offset);
      },
      flush: () => {
        notes.push("flush");
        return device.flush();
      },
      [Symbol.asyncDispose]: async () => {},
    };
  }

  test("is written after everything else was verified and flushed", async () => {
    const path = await disk(4 * MEBIBYTE);
    const notes: string[] = [];
    await using device = await realBlockDevices.open(path, "write-exclusive");
    const verify = () => {
      notes.push("verify");
    };
    await streamToDevice(noting(device, notes), pieces(image(4 * MEBIBYTE), 100_000), options({ verify }));
    expect(notes).toEqual(["write 1", "write 2", "write 3", "verify", "flush", "write 0", "flush"]);
  });

  test("is never written when the checksum is wrong, and both ends are wiped", async () => {
    const path = await disk(4 * MEBIBYTE);
    const notes: string[] = [];
    await using device = await realBlockDevices.open(path, "write-exclusive");
    const verify = () => {
      throw new ImageChecksumError("img", path, "aa", "bb");
    };
    const work = streamToDevice(
      noting(device, notes),
      pieces(image(4 * MEBIBYTE), 100_000),
      options({ verify }),
    );
    expect(await failure(work)).toBeInstanceOf(ImageChecksumError);
    expect(notes).toEqual(["write 1", "write 2", "write 3", "write 0", "write 3", "flush"]);
    await expectWiped(path);
  });
});

describe("failures", () => {
  test("an image known to be too large is refused before the first byte", async () => {
    const path = await disk(2 * MEBIBYTE);
    const before = await bytesOf(path);
    await using device = await realBlockDevices.open(path, "write-exclusive");
    const error = await failure(
      streamToDevice(device, pieces(image(MEBIBYTE), 1000), options({ length: 2 * MEBIBYTE + 1 })),
    );
    expect(error).toBeInstanceOf(ImageWriteError);
    expect((error as ImageWriteError).details).toStartWith(
      `The image has ${2 * MEBIBYTE + 1} bytes, and does not fit on device ${path}, which has ${2 * MEBIBYTE}.`,
    );
    expect((await bytesOf(path)).equals(before)).toBe(true);
  });

  test("an image that turns out too large stops at the end of the disk, and nothing bootable remains", async () => {
    const path = await disk(3 * MEBIBYTE);
    await using device = await realBlockDevices.open(path, "write-exclusive");
    const error = await failure(streamToDevice(device, pieces(image(4 * MEBIBYTE), 65_536), options()));
    expect(error).toBeInstanceOf(ImageWriteError);
    expect((error as ImageWriteError).details).toContain(`has more than ${3 * MEBIBYTE} bytes`);
    expect((await bytesOf(path)).length).toBe(3 * MEBIBYTE);
    await expectWiped(path);
  });

  test("an error of the source passes through", async () => {
    const path = await disk(4 * MEBIBYTE);
    async function* broken() {
      yield image(2 * MEBIBYTE + 5);
      throw new Error("connection lost");
    }
    await using device = await realBlockDevices.open(path, "write-exclusive");
    expect((await failure(streamToDevice(device, broken(), options()))).message).toBe("connection lost");
    await expectWiped(path);
  });

  test("abort", async () => {
    const path = await disk(4 * MEBIBYTE);
    const abort = new AbortController();
    async function* endless() {
      yield image(2 * MEBIBYTE);
      abort.abort(new Error("told to stop"));
      yield image(MEBIBYTE);
    }
    await using device = await realBlockDevices.open(path, "write-exclusive");
    const work = streamToDevice(device, endless(), options({ signal: abort.signal }));
    expect((await failure(work)).message).toBe("told to stop");
    await expectWiped(path);
  });

  /** A device that fails every write from the `good`+1st on, and flushing if it gets that far. */
  function failing(device: BlockDevice, good: number): BlockDevice {
    let writes = 0;
    return {
      ...device,
      path: device.path,
      size: device.size,
      sectorSize: 512,
      write: async (bytes, offset) => {
        if (++writes > good) throw new BlockDeviceIoError("writing", device.path, "EIO");
        await device.write(bytes, offset);
      },
      flush: () => Promise.reject(new BlockDeviceIoError("flushing", device.path, "EIO")),
      [Symbol.asyncDispose]: async () => {},
    };
  }

  test.each([0, 1, 2, 3])(
    "a disk that fails after %p writes: the disk is named, and nothing hangs",
    async (good) => {
      const path = await disk(4 * MEBIBYTE);
      await using device = await realBlockDevices.open(path, "write-exclusive");
      const system = recordedSystem();
      const work = streamToDevice(failing(device, good), pieces(image(4 * MEBIBYTE), 65_536), {
        ...options(),
        log: system.log,
      });
      const error = await failure(work);
      expect(error).toBeInstanceOf(ImageWriteError);
      expect((error as ImageWriteError).details).toContain(`Writing image to device ${path} failed: `);
      expect((error as ImageWriteError).details).toContain("EIO");
      const [logged] = system.records.filter(({ level }) => level === "ERROR");
      expect(logged?.message).toStartWith(
        `cannot wipe the start and the end of ${path} after a failed write`,
      );
    },
  );
});

test("sectors of 4096 bytes are filled up whole", async () => {
  const path = await disk(4 * MEBIBYTE);
  await truncate(path, 4 * MEBIBYTE);
  await using device = await realBlockDevices.open(path, "write-exclusive");
  const large: BlockDevice = {
    path,
    size: device.size,
    sectorSize: 4096,
    read: (buffer, offset) => device.read(buffer, offset),
    write: (bytes, offset) => {
      expect([offset % 4096, bytes.length % 4096]).toEqual([0, 0]);
      return device.write(bytes, offset);
    },
    flush: () => device.flush(),
    [Symbol.asyncDispose]: async () => {},
  };
  await streamToDevice(large, pieces(image(MEBIBYTE + 100), 65_536), options());
  await streamToDevice(large, pieces(image(100), 65_536), options());
  expect((await bytesOf(path)).subarray(100, 4096).every((byte) => byte === 0)).toBe(true);
});

// deploy 11.43
test("receiving and hashing go on while the device still writes what came before", async () => {
  const path = await disk(8 * MEBIBYTE);
  await using device = await realBlockDevices.open(path, "write-exclusive");
  let given = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces(image(8 * MEBIBYTE), 65_536)) {
      given += piece.length;
      yield piece;
    }
  }
  const seen: number[] = [];
  const slow: BlockDevice = {
    path,
    size: device.size,
    sectorSize: device.sectorSize,
    read: (buffer, offset) => device.read(buffer, offset),
    write: async (bytes, offset) => {
      const before = given;
      // Until more has come in, or nothing will: without overlap this would wait in vain.
      for (let turns = 0; turns < 200 && given < before + MEBIBYTE && given < 8 * MEBIBYTE; turns++)
        await Bun.sleep(1);
      seen.push(given - before);
      await device.write(bytes, offset);
    },
    flush: () => device.flush(),
    [Symbol.asyncDispose]: async () => {},
  };
  await streamToDevice(slow, counted(), options());
  // Without overlap, nothing would come during any of them; behind the last ones there is not enough left to come.
  expect(seen.filter((bytes) => bytes >= MEBIBYTE).length).toBeGreaterThanOrEqual(3);
});
