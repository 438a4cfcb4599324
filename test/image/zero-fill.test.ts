// Zeros by the device's own means: on a loop device, which has them because its file system can punch holes, and on devices that have
// none, or that lie.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { stat } from "node:fs/promises";
import { ZeroFill } from "../../src/image/zero-fill.ts";
import { type BlockDevice, realBlockDevices } from "../../src/system/block-device.ts";
import { loopDevice, noLoopDevices } from "../support/loop-device.ts";
import { recordedSystem } from "../support/recorded-system.ts";

setDefaultTimeout(120_000);

const MEBIBYTE = 1024 * 1024;
const SIZE = 16 * MEBIBYTE;
const OLD = 0xee;
const { signal } = new AbortController();

/** A device in memory, full of an old system, that keeps a note of what is written. */
function memoryDevice(zero?: BlockDevice["zero"]) {
  const bytes = Buffer.alloc(SIZE, OLD);
  const writes: number[] = [];
  const device: BlockDevice = {
    path: "/dev/memory",
    size: SIZE,
    sectorSize: 512,
    read: async (buffer, offset) => bytes.copy(buffer, 0, offset, offset + buffer.length),
    write: async (data, offset) => {
      writes.push(data.length);
      bytes.set(data, offset);
    },
    ...(zero === undefined ? {} : { zero }),
    flush: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
  return { device, bytes, written: () => writes.reduce((sum, length) => sum + length, 0) };
}

function expectZeros(bytes: Buffer, offset: number, length: number): void {
  expect(bytes.subarray(0, offset).every((byte) => byte === OLD)).toBe(true);
  expect(bytes.subarray(offset, offset + length).every((byte) => byte === 0)).toBe(true);
  expect(bytes.subarray(offset + length).every((byte) => byte === OLD)).toBe(true);
}

describe("ranges of zeros", () => {
  const ranges: [number, number][] = [
    [MEBIBYTE, 10 * MEBIBYTE],
    [MEBIBYTE + 100, 5 * MEBIBYTE + 1],
    [512, 4096],
    [3 * MEBIBYTE - 1, 2],
    [SIZE - 3 * MEBIBYTE, 3 * MEBIBYTE],
  ];

  test.skipIf(noLoopDevices !== null).each([512, 4096] as const)(
    "on a loop device with %p-byte sectors take no room in its file",
    async (sectorSize) => {
      for (const [offset, length] of ranges) {
        await using loop = await loopDevice(SIZE, sectorSize);
        {
          await using device = await realBlockDevices.open(loop.path, "write-exclusive");
          await device.write(Buffer.alloc(SIZE, OLD), 0);
          await device.flush();
          const system = recordedSystem();
          await new ZeroFill(device, system.log).fill(offset, length, signal);
          await device.flush();
          expect(system.records).toEqual([]);
        }
        await using device = await realBlockDevices.open(loop.path, "read");
        const bytes = Buffer.alloc(SIZE);
        await device.read(bytes, 0);
        expectZeros(bytes, offset, length);
        const { blocks } = await stat(loop.backingFile);
        if (length >= 2 * MEBIBYTE) expect(blocks * 512).toBeLessThan(SIZE - length + MEBIBYTE);
      }
    },
  );

  test("are written where the device has no means of its own", async () => {
    for (const zero of [undefined, async () => false])
      for (const [offset, length] of ranges) {
        const { device, bytes } = memoryDevice(zero);
        await new ZeroFill(device, recordedSystem().log).fill(offset, length, signal);
        expectZeros(bytes, offset, length);
      }
  });

  test("are written, with a warning, where the device says it zeroed and did not", async () => {
    const { device, bytes, written } = memoryDevice(async () => true);
    const system = recordedSystem();
    const zeros = new ZeroFill(device, system.log);
    await zeros.fill(MEBIBYTE, 8 * MEBIBYTE, signal);
    await zeros.fill(9 * MEBIBYTE, 2 * MEBIBYTE, signal);
    expectZeros(bytes, MEBIBYTE, 10 * MEBIBYTE);
    expect(written()).toBeGreaterThanOrEqual(10 * MEBIBYTE);
    expect(system.records.map(({ level }) => level)).toEqual(["WARNING"]);
    expect(system.records[0]?.message).toContain("/dev/memory says that it zeroed a range, but it did not");
  });

  test("are written from where the device stops doing it by itself", async () => {
    const memory = memoryDevice(async (offset, length) => {
      if (offset > 5 * MEBIBYTE) return false;
      memory.bytes.fill(0, offset, offset + length);
      return true;
    });
    const zeros = new ZeroFill(memory.device, recordedSystem().log);
    for (let at = MEBIBYTE; at < 11 * MEBIBYTE; at += 2 * MEBIBYTE)
      await zeros.fill(at, 2 * MEBIBYTE, signal);
    expectZeros(memory.bytes, MEBIBYTE, 10 * MEBIBYTE);
    expect(memory.written()).toBeLessThan(7 * MEBIBYTE);
  });

  test("stop when told to", async () => {
    const { device } = memoryDevice();
    const stopped = AbortSignal.abort(new Error("told to stop"));
    const work = new ZeroFill(device, recordedSystem().log).fill(0, 4 * MEBIBYTE, stopped);
    expect(await work.catch((error: Error) => error.message)).toBe("told to stop");
  });
});
