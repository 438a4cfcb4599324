import { describe, expect, test } from "bun:test";
import { open } from "node:fs/promises";
import { compareSamples, takeSamples } from "../../src/disk/read-back.ts";
import { BlockDeviceError } from "../../src/errors.ts";
import { BlockDeviceIoError } from "../../src/system/block-device.ts";
import { createSystem } from "../../src/system/real.ts";
import type { System } from "../../src/system/system.ts";
import { loopDevice, noLoopDevices } from "../support/loop-device.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";

const signal = new AbortController().signal;
const PLACE = 4096;

/** A disk in memory, and what happens to reads. */
function machine(bytes: Uint8Array, isBad: (offset: number) => boolean = () => false): System {
  let seed = 1;
  const recorded = recordedSystem({ programs: { blockdev: {} } });
  // Different places each time, but the same in each run of the test.
  const uniform = (low: number, high: number) => {
    seed = (seed * 48271) % 2147483647;
    return low + (seed / 2147483647) * (high - low);
  };
  return {
    ...recorded,
    clock: { ...recorded.clock, now: () => 0, monotonic: () => 0, sleep: async () => {}, uniform },
    blockDevices: {
      open: async (path) => ({
        ...{ path, size: bytes.length, sectorSize: 512 },
        read: async (buffer, offset) => {
          if (isBad(offset)) throw new BlockDeviceIoError("reading", path, "EIO");
          buffer.set(bytes.subarray(offset, offset + buffer.length));
          return Math.min(buffer.length, bytes.length - offset);
        },
        write: async () => {},
        flush: async () => {},
        [Symbol.asyncDispose]: async () => {},
      }),
    },
  };
}

function noise(size: number): Uint8Array {
  return new Uint8Array(size).map((_, index) => (index * 31 + (index >> 12)) % 251);
}

describe("what was on the disk", () => {
  test("and is there no more is told from what is still there", async () => {
    const bytes = noise(1024 * PLACE);
    const system = machine(bytes);
    const samples = await takeSamples(system, "/dev/sda");
    expect(samples.length).toBe(64);
    // All over the disk: no part of it is left out.
    const gaps = samples.slice(1).map(({ offset }, index) => offset - samples[index]!.offset);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(2 * 17 * PLACE);
    expect(samples.map(({ offset }) => offset % PLACE)).toEqual(samples.map(() => 0));
    // The ends, where tables are, are always looked at.
    expect([samples[0]!.offset, samples.at(-1)!.offset]).toEqual([0, 1023 * PLACE]);

    const places = samples.length;
    const untouched = await compareSamples(system, "/dev/sda", samples, signal);
    expect(untouched).toEqual({ places, blank: 0, changed: 0, unchanged: places, unreadable: 0 });
    bytes.fill(0, 0, 512 * PLACE);
    const half = await compareSamples(system, "/dev/sda", samples, signal);
    const firstHalf = samples.filter(({ offset }) => offset < 512 * PLACE).length;
    expect(half).toEqual({
      places,
      blank: firstHalf,
      changed: 0,
      unchanged: places - firstHalf,
      unreadable: 0,
    });
    bytes.set(noise(512 * PLACE + 7).subarray(7), 512 * PLACE);
    expect(await compareSamples(system, "/dev/sda", samples, signal)).toMatchObject({ unchanged: 0 });
  });

  test("proves nothing where it was blank or cannot be read", async () => {
    const bytes = noise(16 * PLACE);
    bytes.fill(0, 0, 8 * PLACE);
    const isBad = (offset: number) => offset === 15 * PLACE;
    const samples = await takeSamples(machine(bytes, isBad), "/dev/sda");
    expect(samples.filter(({ before }) => before === null).map(({ offset }) => offset)).toContain(15 * PLACE);
    const found = await compareSamples(machine(bytes, isBad), "/dev/sda", samples, signal);
    expect(found.unreadable).toBe(1);
    expect(found.blank + found.unchanged + found.unreadable).toBe(found.places);
  });

  test("is not asked for ever of a disk that cannot be read", async () => {
    let reads = 0;
    const isBad = () => {
      reads += 1;
      return true;
    };
    const samples = await takeSamples(machine(noise(1024 * PLACE), isBad), "/dev/sda");
    expect([samples.length, reads]).toEqual([4, 5]);
  });

  test("fits disks smaller than one place, too", async () => {
    const samples = await takeSamples(machine(noise(512)), "/dev/sda");
    expect(samples.map(({ before }) => before?.length)).toEqual([512]);
  });
});

test("a page cache that cannot be dropped makes it no check at all", async () => {
  const system = { ...machine(noise(PLACE)), run: recordedSystem({ programs: {} }).run };
  expect(await rejection(compareSamples(system, "/dev/sda", [], signal))).toBeInstanceOf(BlockDeviceError);
});

describe.skipIf(noLoopDevices !== null)("on a real disk", () => {
  test.each([512, 4096] as const)("of %d byte sectors the page cache is passed by", async (sectorSize) => {
    await using disk = await loopDevice(4 * 2 ** 20, sectorSize);
    await Bun.write(disk.backingFile, noise(disk.size));
    const system = createSystem({
      name: "t",
      debug: false,
      json: false,
      file: "/dev/null",
      stream: "stderr",
    });
    const samples = await takeSamples(system, disk.path);
    // Somebody keeps the device open, so its pages stay cached while the disk changes behind the kernel's back.
    await using holder = await open(disk.path, "r");
    for (const { offset } of samples) await holder.read(new Uint8Array(PLACE), 0, PLACE, offset);
    await Bun.write(disk.backingFile, new Uint8Array(disk.size));
    const { places, blank } = await compareSamples(system, disk.path, samples, signal);
    expect(blank).toBe(places);
  });
});
