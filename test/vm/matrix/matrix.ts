// The matrix itself: every machine is booted once, and everything the agent tells of it is compared with what was configured.
// `bun run test:vm` (test/vm/main.ts) runs this in a network namespace and says which machines.

import { expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expectConfigured } from "../../hardware/recording/configured.ts";
import { MACHINES } from "../../hardware/recording/machines.ts";
import { run } from "../../rig/programs.ts";
import { askMachine, type Findings } from "./boot.ts";
import { COLLECTED, expectCollected } from "./collected.ts";

const FIXTURES = join(import.meta.dir, "../../fixtures");

type Order = { machines: readonly string[]; agent: string; recorder: string | null; directory: string };

const { machines, agent, recorder, directory }: Order = JSON.parse(process.env.MATRIX ?? "{}");

// hardware 13.18, 13.19, 13.20, 13.21, 13.24, 13.45
for (const name of machines)
  test(name, async () => {
    const started = performance.now();
    const findings = await askMachine(name, { agent, recorder, directory });
    // Stays there if something is not as it should be.
    await writeFile(join(directory, name, "findings.json"), JSON.stringify(findings, null, 1));
    if (findings.recording !== null) await keepRecording(name, findings.recording);
    report(name, findings, (performance.now() - started) / 1000);
    expectConfigured(findings.inventory, name);
    expectCollected(name, findings);
    COLLECTED[name]?.(findings);
    await expectLogs(name, findings);
  });

async function keepRecording(name: string, text: string): Promise<void> {
  JSON.parse(text);
  await mkdir(join(FIXTURES, name), { recursive: true });
  await writeFile(join(FIXTURES, name, "machine.json"), text);
}

function report(name: string, { seconds }: Findings, all: number): void {
  const { inventory, lshw, collectors } = seconds;
  console.log(
    `${name} (${MACHINES[name]?.firmware}): inventory ${inventory.toFixed(1)} s, lshw alone ${lshw.toFixed(1)} s, ` +
      `slowest collector ${collectors.toFixed(1)} s; ${all.toFixed(0)} s with the boot`,
  );
}

/** The logs unpack, and hold the kernel's messages about this machine's firmware. */
async function expectLogs(name: string, { data }: Findings): Promise<void> {
  const archive = join(directory, name, "logs.tar.gz");
  await writeFile(archive, Buffer.from(data.logs, "base64"));
  const { stdout } = await run(["tar", "--extract", "--to-stdout", "--gzip", "--file", archive]);
  expect(stdout).toContain(data.inventory.system_vendor.manufacturer);
}
