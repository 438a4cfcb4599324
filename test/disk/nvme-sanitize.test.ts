// The log's form is nvme-cli's (nvme-print-json.c of 2.3 and later releases): no disk with Sanitize was at hand.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseSanitizeLog, sanitizeAction, sanitizeNvme } from "../../src/disk/nvme-sanitize.ts";
import { BlockDeviceEraseError } from "../../src/errors.ts";
import type { Progress } from "../../src/progress.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { rejection, thrower } from "../support/rejection.ts";
import { recordedOutput } from "./recording/sessions.ts";

const WORDS = ["Never", "Done", "In Progress", "Failed", "Done, not deallocated"];

function log(state: number, sprog = 65_535, key = "status"): string {
  const sstat = { global_erased: 0, no_cmplted_passes: 0, [key]: `(${state}) ${WORDS[state]}` };
  return JSON.stringify({ nvme0n1: { sprog, sstat, cdw10_info: 4, time_crypto_erase: 4_294_967_295 } });
}

/** Runs it on a controller whose log says these things, one after the other. */
function sanitize(...logs: readonly string[]) {
  const reports: Progress[] = [];
  let look = 0;
  const system = recordedSystem({
    programs: {
      nvme: (argv) =>
        argv[1] === "sanitize-log" ? { stdout: logs[Math.min(look++, logs.length - 1)]! } : {},
    },
  });
  const options = {
    signal: new AbortController().signal,
    report: (progress: Progress) => void reports.push(progress),
  };
  return { ended: sanitizeNvme(system, "/dev/nvme0n1", "crypto", options), system, reports };
}

test("the gentlest thorough way that the controller has is taken; QEMU's has none", async () => {
  const { stdout } = await recordedOutput("erase", "nvme id-ctrl /dev/nvme0n1 -o json");
  expect(sanitizeAction(JSON.parse(stdout))).toBeNull();
  const way = (sanicap: number) => sanitizeAction({ oacs: 0, fna: 0, sanicap });
  expect([way(7), way(6), way(4), way(0)]).toEqual(["crypto", "block", "overwrite", null]);
});

test("it is started, waited for with progress, and ends with the controller's words", async () => {
  const { ended, system, reports } = sanitize(log(0), log(2, 0), log(2, 32_768), log(1));
  expect(await ended).toBe("Done");
  expect(system.calls.map((argv) => argv.join(" ")).filter((line) => !line.includes("-log"))).toEqual([
    "nvme sanitize /dev/nvme0n1 --sanact=4",
  ]);
  expect(reports.map(({ done, total }) => `${done}/${total}`)).toEqual(["0/65536", "32768/65536"]);
});

test("one under way is waited for before another is asked for", async () => {
  const { ended, system } = sanitize(log(2, 100), log(2, 200), log(4), log(4));
  expect(await ended).toBe("Done, not deallocated");
  expect(system.calls.map((argv) => argv[1])).toEqual([
    ...["sanitize-log", "sanitize-log", "sanitize-log", "sanitize", "sanitize-log"],
  ]);
});

describe("a failure", () => {
  test("is an error of the erase that says how to get out of it", async () => {
    const { ended } = sanitize(log(1), log(2, 5), log(3));
    expect(await rejection(ended)).toBeInstanceOf(BlockDeviceEraseError);
    expect(await thrower(ended)).toThrow(
      /sanitize \(crypto\) of \/dev\/nvme0n1 failed: .*Failed.*--sanact=1/,
    );
  });

  test("is also a log that nobody understands", async () => {
    expect(await rejection(sanitize("{}").ended)).toBeInstanceOf(BlockDeviceEraseError);
  });
});

describe("the log", () => {
  test("is read with the status under its own words, too, and without the device's name", () => {
    expect(parseSanitizeLog(log(2, 7, "In Progress"))).toEqual({
      state: "running",
      progress: 7,
      text: "In Progress",
    });
    const bare = JSON.stringify(JSON.parse(log(1)).nvme0n1);
    expect(parseSanitizeLog(bare)).toMatchObject({ state: "done" });
  });

  test("of any form is a state or an error", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          expect(parseSanitizeLog(text).progress).toBeLessThanOrEqual(65_536);
        } catch (error) {
          expect(String(error)).toContain("printed no status");
        }
      }),
    );
  });
});
