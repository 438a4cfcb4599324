import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseShredLine, shred } from "../../src/disk/shred.ts";
import type { Progress } from "../../src/progress.ts";
import { createSystem } from "../../src/system/real.ts";
import { loopDevice, noLoopDevices } from "../support/loop-device.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { recordedOutput } from "./recording/sessions.ts";

const OPTIONS = { iterations: 1, zeroize: true, signal: new AbortController().signal, report: () => {} };

// hardware 13.57
test("the command line follows the node's settings", async () => {
  const system = recordedSystem({ programs: { shred: {} } });
  await shred(system, "/dev/sda", OPTIONS);
  await shred(system, "/dev/sda", { ...OPTIONS, iterations: 2 });
  await shred(system, "/dev/sda", { ...OPTIONS, iterations: 3, zeroize: false });
  expect(system.calls.map((argv) => argv.join(" "))).toEqual([
    "shred --force --zero --verbose --iterations 1 /dev/sda",
    "shred --force --zero --verbose --iterations 2 /dev/sda",
    "shred --force --verbose --iterations 3 /dev/sda",
  ]);
});

describe("progress", () => {
  const COMMAND = "shred --force --zero --verbose --iterations 1 /dev/vdc";

  test("of a recorded run of 4 GiB goes once from 0 to 100 percent over both passes, cut anywhere", async () => {
    const { stderr } = await recordedOutput("erase", COMMAND);
    for (const size of [7, 64, 100_000]) {
      const reports: Progress[] = [];
      const system = recordedSystem({
        programs: {
          shred: (_, { onErrorOutput }) => {
            for (let at = 0; at < stderr.length; at += size) onErrorOutput?.(stderr.slice(at, at + size));
            return { stderr };
          },
        },
      });
      const output = await shred(system, "/dev/vdc", {
        ...OPTIONS,
        report: (progress) => void reports.push(progress),
      });
      expect(output).toEndWith("pass 2/2 (000000)...4.0GiB/4.0GiB 100%");
      const done = reports.map((progress) => progress.done ?? -1);
      expect(done).toEqual([...done].sort((left, right) => left - right));
      expect(reports.at(-1)).toMatchObject({ phase: "shred, pass 2 of 2", done: 100, total: 100 });
    }
  });

  test("is read from any line without a fault", () => {
    expect(parseShredLine("shred: /dev/sda: pass 2/3 (55aa55)...1.4GiB/4.0GiB 35%")).toEqual({
      ...{ pass: 2, passes: 3, percent: 35 },
    });
    expect(parseShredLine("shred: /dev/sda: error writing at offset 512: Input/output error")).toBeNull();
    const line = fc
      .tuple(fc.nat(9), fc.nat(9), fc.nat(200), fc.string())
      .map(
        ([pass, passes, percent, name]) =>
          `shred: /dev/${name}: pass ${pass}/${passes} (random)...1MiB/2MiB ${percent}%`,
      );
    fc.assert(
      fc.property(fc.oneof(fc.string(), line), (text) => {
        const progress = parseShredLine(text);
        if (progress === null) return;
        expect(progress.percent).toBeLessThanOrEqual(100);
        expect(progress.pass).toBeLessThanOrEqual(progress.passes);
      }),
    );
  });
});

describe.skipIf(noLoopDevices !== null)("on a real disk", () => {
  test.each([512, 4096] as const)(
    "of %d byte sectors nothing is left, to the last byte",
    async (sectorSize) => {
      await using disk = await loopDevice(8 * 2 ** 20, sectorSize);
      await Bun.write(disk.backingFile, new Uint8Array(disk.size).fill(0xa5));
      const system = createSystem({
        name: "t",
        debug: false,
        json: false,
        file: "/dev/null",
        stream: "stderr",
      });
      expect(await shred(system, disk.path, OPTIONS)).toContain("pass 2/2");
      expect((await Bun.file(disk.backingFile).bytes()).every((byte) => byte === 0)).toBe(true);
    },
  );
});
