// A process of its own for program-plugin.test.ts: reads 300 MB without a line end from a program as a plug-in's output is read, and
// prints how much memory that took, in MiB.

import { readFileSync } from "node:fs";
import { ProgramOutput } from "../../../src/hardware/plugins/program-output.ts";
import { realClock } from "../../../src/system/clock.ts";
import { createLogger } from "../../../src/system/log.ts";
import { createRun } from "../../../src/system/programs.ts";

function peak(): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) / 1024;
}

const run = createRun(
  realClock,
  createLogger("test", "ERROR", () => {}),
);
const output = new ProgramOutput(() => {});
const before = peak();
await run(["sh", "-c", "head -c 300000000 /dev/zero | tr '\\0' x"], {
  maxOutput: 65536,
  onOutput: (text) => output.feed(text),
});
output.end();
console.log(JSON.stringify({ mebibytes: peak() - before }));
