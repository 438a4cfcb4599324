// The report of a run: every scenario with its time, what failed with its reason, memory where it was sampled.

import { expect, test } from "bun:test";
import { markdownReport, type ScenarioResult, summary } from "./report.ts";

const PASSED: ScenarioResult = {
  name: "deploy",
  about: "an image",
  seconds: 101.4,
  error: null,
  machines: [
    {
      name: "deploy-0",
      phases: [
        { name: "enrol", seconds: 0.1, detail: "" },
        { name: "write image", seconds: 31.26, detail: "" },
      ],
      memory: { residentKiB: 70 * 1024, peakKiB: 95 * 1024 },
    },
  ],
};
const FAILED: ScenarioResult = {
  name: "clean",
  about: "cleaning",
  seconds: 9,
  error: 'node clean-0 is in state "clean failed": no disk\n  | more',
  machines: [{ name: "clean-0", phases: [], memory: null }],
};
const FACTS = { ironicVersion: "1:21.4.4", ramdiskBytes: 258 * 1024 ** 2, host: "QEMU" };

test("the table on the screen", () => {
  expect(summary([PASSED, FAILED])).toBe(
    "\n  deploy    101.4 s  passed\n  clean       9.0 s  FAILED\n\n1 passed, 1 failed\n",
  );
});

test("the report's rows and details", () => {
  const lines = markdownReport([PASSED, FAILED], FACTS).split("\n");
  expect(lines).toContain("| deploy | passed | 101 s | 70 MiB, 95 MiB |");
  expect(lines).toContain("| clean | **failed** | 9 s | not sampled |");
  expect(lines).toContain("- deploy-0: write image 31.3 s");
  expect(lines).toContain('Failed: node clean-0 is in state "clean failed": no disk');
});
