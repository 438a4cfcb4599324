// Picks the program by the first word: the agent, or one of the operator's helpers. The only file that reads the process's
// arguments, handles its signals and ends it. Programs are imported when they are picked, so that each pays only for
// itself.

import { basename } from "node:path";
import type { BootMedia } from "./config/boot-media.ts";
import type { Config } from "./config/config.ts";
import { ConfigurationError } from "./config/configuration-error.ts";
import { helpText, USAGE } from "./config/help.ts";
import { helperArguments, type PrintFormat } from "./config/helper-arguments.ts";
import { loadConfiguration } from "./config/load.ts";
import { logSettings } from "./config/log-settings.ts";
import { errorText } from "./errors.ts";
import { realFiles } from "./system/files.ts";
import { printable } from "./system/printable.ts";
import { createSystem } from "./system/real.ts";
import { redactText } from "./system/redact.ts";
import { RESTRAINED_WORD } from "./system/restrained-word.ts";
import type { System } from "./system/system.ts";
import { AGENT_VERSION } from "./version.ts";

const PROGRAM = "ironic-python-agent";
const INTROSPECTION_PROGRAM = "ironic-collect-introspection-data";
const INTROSPECTION_WORD = "collect-introspection-data";
/** Helpers that can print in two ways. */
const FORMATTED: ReadonlySet<string> = new Set(["inventory", "steps", "check"]);
/** Helpers that are asked about something. */
const ASKED: ReadonlySet<string> = new Set(["root-device"]);
/** Milliseconds for the log to get out at the end. */
const DRAIN_PATIENCE = 1000;

/** A loaded configuration, and what there is to be logged about the loading. */
type Start = {
  /** What the log is named after. */
  readonly program: string;
  readonly config: Config;
  readonly notes: readonly string[];
  readonly warnings: readonly string[];
  /** How a helper is to print, if the command line says it. */
  readonly format: PrintFormat | null;
  /** What a helper is asked about. */
  readonly operands: readonly string[];
};

/** Runs with a loaded configuration and returns the exit code. */
type Program = (start: Start) => Promise<number>;

const HELPERS: Readonly<Record<string, Program>> = {
  // Helpers print data on standard output, so their log goes to standard error.
  inventory: async (start) => {
    const { describeInventory } = await import("./helpers.ts");
    return print(await describeInventory(openSystem(start, "stderr"), start.config, start.format ?? "json"));
  },
  "root-device": async (start) => {
    const { findRootDevice } = await import("./helpers.ts");
    const answer = await findRootDevice(openSystem(start, "stderr"), start.config, start.operands);
    await print(answer.text);
    return answer.exitCode;
  },
  steps: async (start) => {
    const { describeSteps } = await import("./helpers.ts");
    const answer = await describeSteps(openSystem(start, "stderr"), start.config, start.format ?? "json");
    await print(answer.text);
    return answer.exitCode;
  },
  check: async (start) => {
    const { checkInstallation } = await import("./helpers.ts");
    const answer = await checkInstallation(
      openSystem(start, "stderr"),
      start.config,
      start.format ?? "table",
    );
    await print(answer.text);
    return answer.exitCode;
  },
  [INTROSPECTION_WORD]: async (start) => {
    const { introspect } = await import("./helpers.ts");
    const stopping = new AbortController();
    for (const signal of ["SIGINT", "SIGTERM", "SIGQUIT"] as const)
      process.on(signal, () => stopping.abort(new Error("told to stop")));
    return introspect(openSystem(start, "stdout"), start.config, stopping.signal);
  },
  config: async ({ config, warnings }) => {
    const { describeConfig } = await import("./config/describe.ts");
    for (const warning of warnings) say(warning);
    return print(describeConfig(config));
  },
};

const runAgent: Program = async (start) => {
  const { Agent } = await import("./agent.ts");
  const agent = new Agent(openSystem(start, "stdout"), start.config);
  for (const signal of ["SIGINT", "SIGTERM", "SIGQUIT"] as const) process.on(signal, () => agent.stop());
  // There is nothing to reload, and a closed terminal must not end a deployment.
  process.on("SIGHUP", () => undefined);
  return agent.run();
};

async function main(argv: readonly string[]): Promise<number> {
  // A link of this name to the executable is a program of its own.
  const [word = "", ...rest] =
    basename(process.argv0) === INTROSPECTION_PROGRAM ? [INTROSPECTION_WORD, ...argv] : argv;
  // Not for people: the agent starts this for each of its plug-ins.
  if (word === "plugin-host") return (await import("./plugin-process.ts")).hostPlugin();
  // Nor is this: it runs programs of an image that need more rights than they should have.
  if (word === RESTRAINED_WORD) return (await import("./system/restrained-exec.ts")).becomeRestrained(rest);
  const helper = Object.hasOwn(HELPERS, word) ? HELPERS[word] : undefined;
  let debug = false;
  try {
    // Told at once, because the log is not open yet, and again in the log.
    const notes: string[] = [];
    const { format, operands, ...own } =
      helper === undefined
        ? { argv, format: null, operands: [] }
        : helperArguments(rest, { formatted: FORMATTED.has(word), operands: ASKED.has(word) });
    const loaded = await loadConfiguration({
      argv: own.argv,
      environment: process.env,
      files: realFiles,
      media: bootMedia((note) => {
        say(note);
        notes.push(note);
      }),
    });
    if (loaded.action !== "run") return await print(loaded.action === "help" ? helpText() : AGENT_VERSION);
    debug = loaded.config.get("debug");
    return await (helper ?? runAgent)({
      ...loaded,
      program: word === INTROSPECTION_WORD ? INTROSPECTION_PROGRAM : PROGRAM,
      notes,
      format,
      operands,
    });
  } catch (error) {
    const configuration = error instanceof ConfigurationError;
    say(errorText(error));
    if (configuration && error.exitCode === 2) process.stderr.write(`${USAGE}\n`);
    if (debug && error instanceof Error && error.stack !== undefined)
      process.stderr.write(`${redactText(error.stack)}\n`);
    return configuration ? error.exitCode : 1;
  }
}

/** The machine, and the log as the configuration wants it. */
function openSystem({ program, config, notes, warnings }: Start, stream: "stdout" | "stderr"): System {
  const system = createSystem(logSettings(config, program, stream));
  for (const note of notes) system.log.info(note);
  for (const warning of warnings) system.log.warning(warning);
  return system;
}

/** Most machines boot without virtual media; only the others pay for the code. */
function bootMedia(note: (text: string) => void): BootMedia {
  const open = async () => {
    const { VirtualMedia } = await import("./disk/virtual-media.ts");
    const quiet = { name: "ironic_agent", debug: false, json: false, file: null, stream: "stderr" } as const;
    return new VirtualMedia(createSystem(quiet), note);
  };
  return {
    copyConfiguration: async () => (await open()).copyConfiguration(),
    readParameters: async () => (await open()).readParameters(),
  };
}

/** One line for people, where there is no log. */
function say(text: string): void {
  process.stderr.write(`${PROGRAM}: ${redactText(printable(text))}\n`);
}

/** Returns when all of it is out: ending the process throws away what a slow reader has not yet taken from a pipe. */
async function print(text: string): Promise<0> {
  await written(process.stdout, `${text}\n`);
  return 0;
}

function written(stream: NodeJS.WriteStream, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => (error instanceof Error ? reject(error) : resolve()));
  });
}

/** The last log lines get out too, unless nobody reads them: a console that hangs must not keep the agent. */
async function drained(): Promise<void> {
  const patience = new Promise<void>((resolve) => setTimeout(resolve, DRAIN_PATIENCE));
  await Promise.race([Promise.all([written(process.stdout, ""), written(process.stderr, "")]), patience]);
}

// A reader of the log that is gone is no reason to print about it; who prints data hears of it from the write itself.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
const exitCode = await main(process.argv.slice(2));
await drained();
process.exit(exitCode);
