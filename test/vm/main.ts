// bun run test:vm: the matrix of QEMU machines on which inventory and inspection are tried, in a network namespace of its own.
// Exit codes: 0 all machines passed, 1 one failed, 2 wrong command line.

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { MACHINES } from "../hardware/recording/machines.ts";
import { buildAgent } from "../rig/executable.ts";
import { enterNamespace } from "../rig/namespace.ts";
import { ramdiskBase } from "../rig/ramdisk.ts";
import { makeRunDirectory } from "../rig/run-directory.ts";
import { abortedBySignals } from "../rig/signals.ts";

const USAGE = `usage: bun run test:vm [-- [--record] MACHINE…]

  MACHINE…   ${Object.keys(MACHINES).join(", ")}; all of them if none is named
  --record   write what the machines' programs and files say to test/fixtures/MACHINE/machine.json
`;
const TIMEOUT_MS = 1_800_000;

function optionsOrExit(): { machines: readonly string[]; record: boolean } {
  try {
    const { values, positionals } = parseArgs({
      args: process.argv.slice(2),
      allowPositionals: true,
      options: { record: { type: "boolean", default: false }, help: { type: "boolean", default: false } },
    });
    const unknown = positionals.find((name) => !Object.hasOwn(MACHINES, name));
    if (unknown !== undefined) throw new Error(`there is no machine ${unknown}`);
    if (!values.help) {
      const machines = positionals.length > 0 ? positionals : Object.keys(MACHINES);
      return { machines, record: values.record };
    }
    process.stdout.write(USAGE);
    process.exit(0);
  } catch (error) {
    process.stderr.write(`test:vm: ${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

/** One file, which the runtime in the agent's executable runs: a second executable would not fit into the smallest machines. */
async function bundleRecorder(directory: string): Promise<string> {
  const entry = join(import.meta.dir, "../hardware/recording/record-machine.ts");
  await Bun.build({ entrypoints: [entry], target: "bun", outdir: directory });
  return join(directory, "record-machine.js");
}

const options = optionsOrExit();
await enterNamespace();
const signal = abortedBySignals();
const started = performance.now();
const directory = await makeRunDirectory("vm");
const agent = join(directory, "agent");
await buildAgent(agent, directory, signal);
// Here and not in the tests, because it has no time limit of theirs.
await ramdiskBase({ report: console.log, signal });
const recorder = options.record ? await bundleRecorder(directory) : null;
const tests = Bun.spawn(
  [process.execPath, "test", "--timeout", String(TIMEOUT_MS), join(import.meta.dir, "matrix/matrix.ts")],
  {
    env: {
      ...process.env,
      MATRIX: JSON.stringify({ ...options, agent, recorder, directory }),
    },
    ...{ stdin: "ignore", stdout: "inherit", stderr: "inherit" },
    signal,
  },
);
const code = await tests.exited;
const seconds = Math.round((performance.now() - started) / 1000);
if (code === 0) await rm(directory, { recursive: true });
console.log(`test:vm: ${code === 0 ? "passed" : `failed, see ${directory}`} after ${seconds} s`);
process.exitCode = code === 0 ? 0 : 1;
