// npm run demo: a machine with an empty disk gets an operating system, before your eyes.
// Exit codes: 0 deployed, 1 failed, 2 wrong command line, 130 interrupted.

import { readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { consoleTail } from "../rig/console.ts";
import { enterNamespace } from "../rig/namespace.ts";
import { makeRunDirectory } from "../rig/run-directory.ts";
import { abortedBySignals, Interrupted } from "../rig/signals.ts";
import { dropLargeFiles, runDemo } from "./demo.ts";
import type { Excerpt } from "./driver.ts";
import { EmbeddedDriver } from "./embedded-driver.ts";
import { IronicDriver } from "./ironic-driver.ts";
import { type DemoOptions, parseOptions, USAGE, UsageError } from "./options.ts";
import { Phases } from "./phases.ts";
import { failureReport, successReport } from "./report.ts";

function optionsOrExit(): DemoOptions {
  try {
    const options = parseOptions(process.argv.slice(2));
    if (options !== null) return options;
    process.stdout.write(USAGE);
    process.exit(0);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`demo: ${error.message}\n`);
    process.exit(2);
  }
}

async function demo(options: DemoOptions): Promise<number> {
  const signal = abortedBySignals();
  const driver = options.ironic ? new IronicDriver(options.timeout) : new EmbeddedDriver(options);
  const phases = new Phases(process.stdout);
  const directory = await makeRunDirectory("demo");
  try {
    const figures = await runDemo({ options, driver, phases, directory, signal });
    process.stdout.write(successReport(phases.results, figures));
    if (options.keep) process.stdout.write(`  kept in ${directory}\n`);
    else await rm(directory, { recursive: true });
    return 0;
  } catch (error) {
    const { reason } = signal;
    if (reason instanceof Interrupted) {
      phases.fail("interrupted");
      if (!options.keep) await rm(directory, { recursive: true });
      process.stderr.write("demo: interrupted, everything is taken down\n");
      return reason.exitCode;
    }
    const phase = phases.fail();
    process.stderr.write(
      failureReport({
        phase,
        reason: reasonOf(error, options),
        excerpts: [...excerptsFrom(directory), ...driver.excerpts()],
        directory,
      }),
    );
    if (!options.keep) await dropLargeFiles(directory);
    return 1;
  }
}

function reasonOf(error: unknown, options: DemoOptions): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return `not done within ${options.timeout / 1000} s`;
  return error.message;
}

/** The consoles' last lines: the agent logs to the first one, the deployed system prints on the second. */
function excerptsFrom(directory: string): Excerpt[] {
  const titles: Record<string, string> = {
    "console-1.log": "Last lines of the ramdisk's console, where the agent logs",
    "console-2.log": "Last lines of the deployed system's console",
  };
  return readdirSync(directory)
    .filter((name) => /^console-\d+\.log$/.test(name))
    .sort()
    .map((name) => ({ title: titles[name] ?? name, text: consoleTail(join(directory, name), 30) }));
}

const options = optionsOrExit();
await enterNamespace();
process.exit(await demo(options));
