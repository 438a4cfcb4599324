// hardware 13.91. The report without a drive is smartctl 7.3's own; those of drives have the members that smartmontools writes for ATA
// drives (ataprint.cpp), with the rest left out.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { CleaningError } from "../../../src/errors.ts";
import { parseSelfTest, smartTest } from "../../../src/steps/burn-in/smart-test.ts";
import { type RecordedProgram, recordedSystem } from "../../support/recorded-system.ts";
import { rejection, thrower } from "../../support/rejection.ts";
import { burnInContext } from "./support.ts";

const NO_DRIVE = await Bun.file("test/fixtures/burn-in/smartctl-no-drive.json").text();

function report(value: number, text: string, remaining?: number): string {
  const status = {
    value,
    string: text,
    ...(remaining === undefined ? {} : { remaining_percent: remaining }),
  };
  return JSON.stringify({ ata_smart_data: { self_test: { status, polling_minutes: { extended: 128 } } } });
}

const RUNNING = report(249, "in progress, 90% remaining", 90);
const ALMOST = report(241, "in progress, 10% remaining", 10);
const PASSED = report(0, "completed without error");
const FAILED = report(121, "completed with error (read test element)");

/** One answer after the other, the last one for ever. */
function drive(...answers: string[]): RecordedProgram {
  return () => ({ stdout: (answers.length > 1 ? answers.shift() : answers[0]) ?? "", exitCode: 64 });
}

function machine(drives: Record<string, RecordedProgram>, start: RecordedProgram = {}) {
  const programs: Record<string, RecordedProgram> = { smartctl: start };
  for (const [disk, answer] of Object.entries(drives)) programs[`smartctl -ja ${disk}`] = answer;
  const system = recordedSystem({ programs });
  const context = burnInContext(system);
  return { system, context, ended: smartTest(context, Object.keys(drives)) };
}

test("a test that runs is waited for, on all disks at once", async () => {
  const { system, context, ended } = machine({
    "/dev/sda": drive(RUNNING, ALMOST, PASSED),
    "/dev/sdb": drive(RUNNING, PASSED),
  });
  await ended;
  expect(system.calls.slice(0, 2).map((argv) => argv.join(" "))).toEqual([
    "smartctl -t long /dev/sda",
    "smartctl -t long /dev/sdb",
  ]);
  expect(system.calls.filter((argv) => argv[3] === undefined).map((argv) => argv[2])).toEqual([
    ...["/dev/sda", "/dev/sdb", "/dev/sda", "/dev/sdb", "/dev/sda"],
  ]);
  expect(system.sleeps).toEqual([30, 30]);
  expect(context.reports.map(({ phase, done }) => [phase, done])).toEqual([
    ["waiting for the SMART self-test of /dev/sda, /dev/sdb", 10],
    ["waiting for the SMART self-test of /dev/sda", 90],
  ]);
});

test("a disk that fails it is an error, once the others are through", async () => {
  const { system, ended } = machine({ "/dev/sda": drive(FAILED), "/dev/sdb": drive(RUNNING, PASSED) });
  expect(await rejection(ended)).toBeInstanceOf(CleaningError);
  expect(await thrower(ended)).toThrow(
    /failed on \/dev\/sda \(completed with error \(read test element\)\)$/,
  );
  expect(system.sleeps).toEqual([30]);
});

test("a disk whose state cannot be read is not waited for and no failure", async () => {
  const { system, ended } = machine({
    "/dev/sda": drive(NO_DRIVE),
    "/dev/sdb": drive("garbage"),
    "/dev/sdc": drive(PASSED),
  });
  await ended;
  const warnings = system.records.filter(({ level }) => level === "WARNING").map(({ message }) => message);
  expect(warnings).toEqual([expect.stringContaining("/dev/sda"), expect.stringContaining("/dev/sdb")]);
});

test("disks that do not start it are named, all of them", async () => {
  const { ended } = machine(
    { "/dev/sda": {}, "/dev/sdb": {} },
    { exitCode: 4, stdout: "Self-test not supported" },
  );
  expect(await rejection(ended)).toBeInstanceOf(CleaningError);
  expect(await thrower(ended)).toThrow(/could not be started on \/dev\/sda .*not supported.*, \/dev\/sdb /);
});

test("any report is one of the three states, or nothing", () => {
  expect(parseSelfTest(NO_DRIVE)).toBeNull();
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.jsonValue().map((v) => JSON.stringify({ ata_smart_data: { self_test: { status: v } } })),
      ),
      (text) => {
        const found = parseSelfTest(text);
        if (found !== null) expect(["running", "passed", "failed"]).toContain(found.state);
      },
    ),
  );
  fc.assert(
    fc.property(fc.string(), fc.jsonValue(), (text, remaining) => {
      const found = parseSelfTest(
        JSON.stringify({
          ata_smart_data: { self_test: { status: { string: text, remaining_percent: remaining } } },
        }),
      );
      expect(found?.text).toBe(text);
      expect(found?.remaining ?? 0).toBeWithin(0, 101);
    }),
  );
});
