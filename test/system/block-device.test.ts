import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { open } from "node:fs/promises";
import { alignedBuffer } from "../../src/system/aligned-buffer.ts";
import { BlockDeviceIoError, realBlockDevices } from "../../src/system/block-device.ts";
import { type LoopDevice, loopDevice } from "../support/loop-device.ts";
import { rejection, thrower } from "../support/rejection.ts";

let loop: LoopDevice;
beforeAll(async () => {
  loop = await loopDevice(8 * 1024 * 1024, 4096);
});
afterAll(() => loop[Symbol.asyncDispose]());

describe("a device", () => {
  test("knows its size and its logical sector size", async () => {
    await using device = await realBlockDevices.open(loop.path, "read");
    expect([device.size, device.sectorSize]).toEqual([8 * 1024 * 1024, 4096]);
  });

  test("takes what is written at any offset, and flushes", async () => {
    await using device = await realBlockDevices.open(loop.path, "write-exclusive");
    await device.write(new TextEncoder().encode("hello"), 5000);
    await device.flush();
    const back = new Uint8Array(5);
    expect(await device.read(back, 5000)).toBe(5);
    expect(new TextDecoder().decode(back)).toBe("hello");
  });

  test("is read past the kernel's memory of it, on request, at any length", async () => {
    await using device = await realBlockDevices.open(loop.path, "write-exclusive");
    await device.write(Buffer.alloc(8192, 1), 0);
    await device.flush();
    await device.read(new Uint8Array(8192), 0);
    // Behind the kernel's back, as a disk does that loses something.
    const backing = await open(loop.backingFile, "r+");
    await backing.write(Buffer.alloc(8192, 2), 0, 8192, 0);
    await backing.datasync();
    await backing.close();
    const seen = async (mode: "read" | "read-uncached", length: number) => {
      await using reader = await realBlockDevices.open(loop.path, mode);
      const bytes = Buffer.alloc(length);
      expect(await reader.read(bytes, 4096)).toBe(length);
      return new Set(bytes);
    };
    expect(await seen("read", 100)).toEqual(new Set([1]));
    for (const length of [4096, 100, 1]) expect(await seen("read-uncached", length)).toEqual(new Set([2]));
  });

  test("takes large, aligned writes without keeping them in memory, and small ones between them", async () => {
    await using device = await realBlockDevices.open(loop.path, "write-exclusive");
    const large = alignedBuffer(1024 * 1024).fill(7);
    await device.write(Buffer.from("before"), 1024 * 1024 + 5);
    await device.write(large, 1024 * 1024);
    await device.write(Buffer.from("after"), 1024 * 1024 + 100);
    await device.flush();
    const back = Buffer.alloc(1024 * 1024);
    await device.read(back, 1024 * 1024);
    expect(back.toString("latin1", 98, 107)).toBe("\x07\x07after\x07\x07");
    back.fill(7, 100, 105);
    expect(back.equals(large)).toBe(true);
  });

  test("reading over the end gives what there is", async () => {
    await using device = await realBlockDevices.open(loop.path, "read");
    expect(await device.read(new Uint8Array(8192), device.size - 100)).toBe(100);
  });

  test("writing over the end is an error", async () => {
    await using device = await realBlockDevices.open(loop.path, "write-exclusive");
    expect(await rejection(device.write(new Uint8Array(8192), device.size - 100))).toBeInstanceOf(
      BlockDeviceIoError,
    );
  });

  test("the kernel refuses a second holder", async () => {
    await using _first = await realBlockDevices.open(loop.path, "write-exclusive");
    expect(await thrower(realBlockDevices.open(loop.path, "write-exclusive"))).toThrow(
      `opening ${loop.path}: EBUSY`,
    );
  });

  test("a device that was closed can be opened at once, whatever programs are being started meanwhile", async () => {
    let ended = false;
    // Each has a copy of the open device from fork to exec.
    const programs = Array.from({ length: 4 }, async () => {
      while (!ended) await Bun.spawn(["true"], { stdin: "ignore", stdout: "pipe", stderr: "pipe" }).exited;
    });
    try {
      for (let round = 0; round < 300; round += 1) {
        await using _device = await realBlockDevices.open(loop.path, "write-exclusive");
      }
    } finally {
      ended = true;
      await Promise.all(programs);
    }
  }, 60_000);

  test("a missing one is named", async () => {
    expect(await thrower(realBlockDevices.open("/dev/no-such-disk", "read"))).toThrow(
      "/dev/no-such-disk: ENOENT",
    );
  });
});
