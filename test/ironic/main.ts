// npm run test:ironic: the real Ironic drives emulated machines through their BMCs, with our agent in the ramdisk.
// Exit codes: 0 all scenarios passed, 1 one failed, 2 wrong command line, 128 plus the signal's number when interrupted.

import { mkdir, rm, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { UsageError } from "../demo/options.ts";
import { Phases } from "../demo/phases.ts";
import { enterNamespace } from "../rig/namespace.ts";
import { makeRunDirectory } from "../rig/run-directory.ts";
import { abortedBySignals, Interrupted } from "../rig/signals.ts";
import { nodeAsOperatorsSeeIt } from "./baremetal.ts";
import { parseRunOptions, type RunOptions, USAGE } from "./options.ts";
import { packageVersion } from "./python-service.ts";
import { markdownReport, type RunFacts, type ScenarioResult, summary } from "./report.ts";
import { type Scenario, Stage } from "./scenario.ts";
import { SCENARIOS } from "./scenarios/all.ts";
import { openSite, type Site } from "./site.ts";

const REPORT = join(import.meta.dir, "report.md");
const CONSOLE_LINES = 30;
const CONDUCTOR_LINES = 12;
const LONGEST_LINE = 400;

const screen = { write: (text: string) => process.stdout.write(text) };

function optionsOrExit(): RunOptions {
  try {
    const options = parseRunOptions(process.argv.slice(2), SCENARIOS);
    if (options !== null && !options.list) return options;
    process.stdout.write(options === null ? USAGE : SCENARIOS.map(listed).join(""));
    process.exit(0);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`test:ironic: ${error.message}\n`);
    process.exit(2);
  }
}

function listed({ name, about }: Scenario): string {
  const width = Math.max(...SCENARIOS.map((scenario) => scenario.name.length));
  return `${name.padEnd(width)}  ${about}\n`;
}

async function play(options: RunOptions): Promise<number> {
  const signal = abortedBySignals();
  const directory = await makeRunDirectory("ironic");
  const results: ScenarioResult[] = [];
  let facts: RunFacts;
  try {
    await using site = await openSite({
      directory,
      fresh: options.fresh,
      phases: new Phases(screen),
      signal,
    });
    facts = await factsOf(site);
    for (const scenario of options.scenarios) {
      signal.throwIfAborted();
      results.push(await playScenario(scenario, site, options));
    }
    signal.throwIfAborted();
  } catch (error) {
    const { reason } = signal;
    if (reason instanceof Interrupted) {
      if (!options.keep) await rm(directory, { recursive: true, force: true });
      process.stderr.write("test:ironic: interrupted, everything is taken down\n");
      return reason.exitCode;
    }
    if (!options.keep) await dropLargeFiles(directory);
    process.stderr.write(`\n${messageOf(error)}\n\nFull logs: ${directory}\n`);
    return 1;
  }
  const report = markdownReport(results, facts);
  // A run of chosen scenarios says nothing about the others.
  if (options.scenarios.length === SCENARIOS.length) await writeFile(REPORT, report);
  await writeFile(join(directory, "report.md"), report);
  process.stdout.write(summary(results));
  const failed = results.some(({ error }) => error !== null);
  if (!options.keep) await dropLargeFiles(directory);
  if (failed || options.keep) process.stdout.write(`Logs and report: ${directory}\n`);
  else await rm(directory, { recursive: true });
  return failed ? 1 : 0;
}

async function playScenario(scenario: Scenario, site: Site, options: RunOptions): Promise<ScenarioResult> {
  const { name, about } = scenario;
  const directory = join(site.directory, name);
  await mkdir(directory, { recursive: true });
  screen.write(`=== ${name}: ${about}\n`);
  const started = performance.now();
  const stage = new Stage(site, name, directory, screen);
  let error: string | null = null;
  try {
    await scenario.run(stage);
  } catch (thrown) {
    error = messageOf(thrown);
    for (const { managed } of stage.nodes)
      managed.phases.fail(site.signal.aborted ? "interrupted" : "FAILED");
    if (!site.signal.aborted) screen.write(await failure(name, error, stage));
  } finally {
    await stage[Symbol.asyncDispose]();
  }
  const seconds = (performance.now() - started) / 1000;
  const verdict = error === null ? "passed" : site.signal.aborted ? "interrupted" : "FAILED";
  screen.write(`=== ${name}: ${verdict} after ${seconds.toFixed(1)} s\n`);
  if (error === null && !options.keep) await rm(directory, { recursive: true, force: true });
  const machines = stage.nodes.map(({ managed }) => ({
    name: managed.name,
    phases: managed.phases.results,
    memory: managed.memory,
  }));
  return { name, about, seconds, error, machines };
}

/** The agent and the ramdisk, which Ironic has linked to its own places. */
async function dropLargeFiles(directory: string): Promise<void> {
  for (const name of ["initrd", "ironic-python-agent", "ironic/http", "ironic/tftp"]) {
    await rm(join(directory, name), { recursive: true, force: true });
  }
}

/** Everything that helps to find out why: Ironic's view, the conductor's complaints, the consoles where agents log. */
async function failure(name: string, error: string, stage: Stage): Promise<string> {
  const { ironic } = stage.site;
  const parts = [`\n${name} failed: ${error}\n`];
  for (const { managed } of stage.nodes) {
    const view = await nodeAsOperatorsSeeIt(ironic.client.url, managed.name).catch(
      (reason) => `not to be had: ${messageOf(reason)}`,
    );
    parts.push(`\nIronic's view of ${managed.name}:\n${quoted(view)}`);
    parts.push(
      `\nLast lines of the console of ${managed.name}:\n${quoted(managed.machine.consoleTail(CONSOLE_LINES))}`,
      `  full console: ${managed.machine.consoleLog}\n`,
    );
  }
  parts.push(`\nThe conductor's last complaints:\n${quoted(ironic.complaints(CONDUCTOR_LINES))}`);
  parts.push(`  full log: ${ironic.logFile}\n\n`);
  return parts.join("");
}

function quoted(text: string): string {
  if (text === "") return "  (nothing)\n";
  const cut = (line: string) => (line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)} …` : line);
  return text
    .split("\n")
    .map((line) => `  | ${cut(line)}\n`)
    .join("");
}

async function factsOf(site: Site): Promise<RunFacts> {
  return {
    ironicVersion: await packageVersion("ironic-common"),
    ramdiskBytes: site.ramdiskBytes,
    host: `QEMU without KVM on ${cpus().length} cores`,
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const options = optionsOrExit();
await enterNamespace();
process.exit(await play(options));
