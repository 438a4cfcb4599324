import { describe, expect, test } from "bun:test";
import { ImageChecksumError, ImageDownloadOutOfSpaceError } from "../../src/errors.ts";
import { ImageHasher } from "../../src/image/hasher.ts";
import { type CacheOptions, cacheImage } from "../../src/image/image-cache.ts";
import { ProgressMeter } from "../../src/image/progress-meter.ts";
import type { Progress } from "../../src/progress.ts";
import { FileError } from "../../src/system/files.ts";
import { createSystem } from "../../src/system/real.ts";
import type { System } from "../../src/system/system.ts";
import { rejection } from "../support/rejection.ts";

const MEBIBYTE = 1024 * 1024;
const GIBIBYTE = 1024 * MEBIBYTE;

/** The real system, with the room it reports replaced. */
function roomy(room: { free?: number; memory?: number }): System {
  const system = createSystem({
    name: "test",
    debug: false,
    json: false,
    file: "/dev/null",
    stream: "stderr",
  });
  return {
    ...system,
    files: {
      ...system.files,
      freeSpace: async () => room.free ?? 100 * GIBIBYTE,
      readText: async () => `MemTotal: 1 kB\nMemAvailable:   ${(room.memory ?? 100 * GIBIBYTE) / 1024} kB\n`,
    },
  };
}

function options(system: System, more: Partial<CacheOptions> = {}, reports: Progress[] = []): CacheOptions {
  return {
    imageId: "img",
    hasher: new ImageHasher({ algorithm: "sha256", engine: "native", log: system.log }),
    verify: () => {},
    meter: new ProgressMeter(system.clock, (report) => reports.push(report), "download", null),
    signal: new AbortController().signal,
    ...more,
  };
}

function body(content: Uint8Array, length: number | null = content.length) {
  async function* chunks() {
    for (let at = 0; at < content.length; at += 100_000) yield content.subarray(at, at + 100_000);
  }
  return { source: "http://test/", length, chunks: chunks() };
}

/** Caches into a file of a directory of its own, and gives the error. */
async function cacheFailure(
  system: System,
  length: number | null,
  content = new Uint8Array(0),
): Promise<Error> {
  await using directory = await system.files.temporaryDirectory("image-cache-test-");
  try {
    await cacheImage(system, body(content, length), `${directory.path}/image`, options(system));
  } catch (error) {
    return error as Error;
  }
  throw new Error("it succeeded");
}

test("the file is the body, hashed, with progress", async () => {
  const system = roomy({});
  await using directory = await system.files.temporaryDirectory("image-cache-test-");
  const content = Buffer.alloc(3 * MEBIBYTE + 17, "some image ");
  const reports: Progress[] = [];
  let digest = "";
  const path = `${directory.path}/image`;
  const verify = (computed: string) => {
    digest = computed;
  };
  await cacheImage(system, body(content), path, options(system, { verify }, reports));
  expect(Buffer.from(await Bun.file(path).arrayBuffer()).equals(content)).toBe(true);
  expect(digest).toBe(new Bun.CryptoHasher("sha256").update(content).digest("hex"));
  expect(reports[0]).toMatchObject({ phase: "download", done: 0 });
});

test("a second, shorter delivery leaves nothing of the first", async () => {
  const system = roomy({});
  await using directory = await system.files.temporaryDirectory("image-cache-test-");
  const path = `${directory.path}/image`;
  await cacheImage(system, body(Buffer.alloc(2 * MEBIBYTE, 1)), path, options(system));
  await cacheImage(system, body(Buffer.alloc(5, 2)), path, options(system));
  expect(await Bun.file(path).bytes()).toEqual(new Uint8Array(5).fill(2));
});

test("a wrong digest refuses the file", async () => {
  const system = roomy({});
  await using directory = await system.files.temporaryDirectory("image-cache-test-");
  const verify = () => {
    throw new ImageChecksumError("img", "x", "aa", "bb");
  };
  const work = cacheImage(
    system,
    body(new Uint8Array(5)),
    `${directory.path}/i`,
    options(system, { verify }),
  );
  expect(await rejection(work)).toBeInstanceOf(ImageChecksumError);
});

// deploy 11.25; deploy 10, bug 4
describe("room", () => {
  test("a file system that is too small is named with both numbers, before the download", async () => {
    const error = await cacheFailure(roomy({ free: GIBIBYTE }), 2 * GIBIBYTE);
    expect(error).toBeInstanceOf(ImageDownloadOutOfSpaceError);
    expect((error as ImageDownloadOutOfSpaceError).details).toContain(
      `${2 * GIBIBYTE} bytes are to be stored in `,
    );
    expect((error as ImageDownloadOutOfSpaceError).details).toContain(`which has ${GIBIBYTE} free`);
  });

  test("memory that is too small, less a reserve", async () => {
    const error = await cacheFailure(roomy({ memory: 2 * GIBIBYTE }), 2 * GIBIBYTE - 127 * MEBIBYTE);
    expect(error).toBeInstanceOf(ImageDownloadOutOfSpaceError);
    expect((error as ImageDownloadOutOfSpaceError).details).toContain(
      `${2 * GIBIBYTE} bytes of memory are available`,
    );
    const system = roomy({ memory: 2 * GIBIBYTE });
    await using directory = await system.files.temporaryDirectory("image-cache-test-");
    await cacheImage(
      system,
      body(new Uint8Array(9), 2 * GIBIBYTE - 129 * MEBIBYTE),
      `${directory.path}/i`,
      options(system),
    );
  });

  test("a ramfs reports no free space, and has as much as there is memory", async () => {
    const system = roomy({ free: 0 });
    await using directory = await system.files.temporaryDirectory("image-cache-test-");
    await cacheImage(system, body(new Uint8Array(9)), `${directory.path}/i`, options(system));
  });

  test("an image of unknown length is stopped when memory runs out on the way", async () => {
    const room = { memory: 10 * GIBIBYTE };
    const system = roomy(room);
    await using directory = await system.files.temporaryDirectory("image-cache-test-");
    let sent = 0;
    async function* endless() {
      const chunk = new Uint8Array(8 * MEBIBYTE);
      for (;;) {
        sent += chunk.length;
        room.memory = 100 * MEBIBYTE;
        yield chunk;
      }
    }
    const work = cacheImage(
      system,
      { source: "", length: null, chunks: endless() },
      `${directory.path}/i`,
      options(system),
    );
    expect(await rejection(work)).toBeInstanceOf(ImageDownloadOutOfSpaceError);
    expect(sent).toBeLessThanOrEqual(72 * MEBIBYTE);
  });

  test("a full file system in the middle", async () => {
    const system = roomy({});
    const full: System = {
      ...system,
      files: {
        ...system.files,
        create: async (path) => ({
          write: async (_, offset) => {
            if (offset > 0) throw new FileError("writing", path, "ENOSPC");
          },
          flush: async () => {},
          [Symbol.asyncDispose]: async () => {},
        }),
      },
    };
    const error = await cacheFailure(full, null, new Uint8Array(3 * MEBIBYTE));
    expect(error).toBeInstanceOf(ImageDownloadOutOfSpaceError);
    expect((error as ImageDownloadOutOfSpaceError).details).toContain(`after ${MEBIBYTE} bytes`);
  });
});
