import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readPartitionTable } from "../../src/disk/partition-table.ts";
import {
  addRaidPartition,
  createRaidTable,
  parseFirstAligned,
  raidPartitionSpan,
} from "../../src/disk/raid-partitions.ts";
import { CommandExecutionError, SoftwareRAIDError } from "../../src/errors.ts";
import { createSystem } from "../../src/system/real.ts";
import { loopDevice, noLoopDevices } from "../support/loop-device.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";
import { recordedOutput } from "./recording/sessions.ts";

const signal = new AbortController().signal;

// hardware 9.3, the table of step 8
test("the first partition ends at a whole number of GiB, the next begins there, MAX goes to the end", () => {
  expect(raidPartitionSpan("2048s", 1)).toEqual({ start: "2048s", end: "1GiB", next: 1 });
  expect(raidPartitionSpan("551MiB", "MAX")).toEqual({ start: "551MiB", end: "-1", next: -1 });
  expect(raidPartitionSpan(1, 2)).toEqual({ start: "1GiB", end: "3GiB", next: 3 });
  expect(raidPartitionSpan(1, "MAX")).toEqual({ start: "1GiB", end: "-1", next: -1 });
});

test("the first aligned sector is the last line of what sgdisk prints, whatever it remarks before", async () => {
  const empty = await recordedOutput("raid", "sgdisk -F /dev/vda", 0);
  const withTable = await recordedOutput("raid", "sgdisk -F /dev/vda", 1);
  expect(withTable.stdout).toContain("converting MBR to GPT");
  expect([empty, withTable].map(({ stdout }) => parseFirstAligned(stdout))).toEqual(["2048s", "2048s"]);
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        expect(parseFirstAligned(text)).toMatch(/^\d+s$/);
      } catch (error) {
        expect(String(error)).toContain("printed no sector");
      }
    }),
  );
});

test("what parted refuses is an error that names the disk", async () => {
  const system = recordedSystem({
    programs: { parted: { exitCode: 1, stderr: "Error: /dev/sda: unrecognised" } },
  });
  const table = createRaidTable(system, "/dev/sda", { label: "gpt", bootMode: "uefi" }, signal);
  expect(await rejection(table)).toBeInstanceOf(CommandExecutionError);
  const partition = addRaidPartition(system, "/dev/sda", "8MiB", 1, signal);
  const error = await rejection(partition);
  expect(error).toBeInstanceOf(SoftwareRAIDError);
  expect(String(error)).toContain("/dev/sda");
});

describe.skipIf(noLoopDevices !== null)("on a real disk", () => {
  const GIB = 2 ** 30;

  async function layout(label: "gpt" | "msdos", bootMode: "uefi" | "bios", sectorSize: 512 | 4096) {
    await using disk = await loopDevice(4 * GIB, sectorSize);
    const real = createSystem({ name: "t", debug: false, json: false, file: "/dev/null", stream: "stderr" });
    const system = { ...real };
    const start = await createRaidTable(system, disk.path, { label, bootMode }, signal);
    const next = await addRaidPartition(system, disk.path, start, 1, signal);
    await addRaidPartition(system, disk.path, next, "MAX", signal);
    await using device = await system.blockDevices.open(disk.path, "read");
    const table = await readPartitionTable(device);
    expect(table.label).toBe(label);
    return table.partitions.map((partition) => [partition.start, partition.start + partition.size]);
  }

  // hardware 13.74, 13.75; deploy 5.7
  test.each([512, 4096] as const)(
    "of %d byte sectors room is left in front for the boot loader",
    async (sectorSize) => {
      const MIB = 2 ** 20;
      const firstAligned = 2048 * 512;
      const [bios, biosGpt, uefi] = [
        await layout("msdos", "bios", sectorSize),
        await layout("gpt", "bios", sectorSize),
        await layout("gpt", "uefi", sectorSize),
      ];
      expect([bios[0], biosGpt[0], uefi[0]]).toEqual([
        [sectorSize === 512 ? firstAligned : expect.any(Number), GIB],
        [8 * MIB, GIB],
        [551 * MIB, GIB],
      ]);
      for (const [, second] of [bios, biosGpt, uefi]) {
        expect(second![0]).toBe(GIB);
        expect(second![1]).toBeGreaterThan(4 * GIB - 3 * MIB);
      }
      // Three disks, each settled and asked several times.
    },
    60_000,
  );
});
