// Picks the program by the first word: the agent, or one of the operator's helpers. The only file that reads the process's
// arguments, handles its signals and ends it. Programs are imported when they are picked, so that each pays only for
// itself.

import type { Config } from "./config/config.ts";
import { ConfigurationError } from "./config/configuration-error.ts";
import { helpText, USAGE } from "./config/help.ts";
import { loadConfiguration } from "./config/load.ts";
import { errorText } from "./errors.ts";
import { realFiles } from "./system/files.ts";
import { createSystem, type LogSettings } from "./system/real.ts";
import { redactText } from "./system/redact.ts";
import type { System } from "./system/system.ts";
import { AGENT_VERSION } from "./version.ts";

const PROGRAM = "ironic-python-agent";
/** Milliseconds for the log to get out at the end. */
const DRAIN_PATIENCE = 1000;

/** Runs with a loaded configuration and returns the exit code. */
type Program = (config: Config) => Promise<number>;

const HELPERS: Readonly<Record<string, Program>> = {
  inventory: async (config) => {
    const { describeInventory } = await import("./helpers.ts");
    return print(await describeInventory(helperSystem(config), config));
  },
  steps: async (config) => {
    const { describeSteps } = await import("./helpers.ts");
    return print(await describeSteps(helperSystem(config), config));
  },
  config: async (config) => {
    const { describeConfig } = await import("./config/describe.ts");
    return print(describeConfig(config));
  },
};

const runAgent: Program = async (config) => {
  const { Agent } = await import("./agent.ts");
  const agent = new Agent(createSystem(logSettings(config, "stdout")), config);
  for (const signal of ["SIGINT", "SIGTERM", "SIGQUIT"] as const) process.on(signal, () => agent.stop());
  // There is nothing to reload, and a closed terminal must not end a deployment.
  process.on("SIGHUP", () => undefined);
  return agent.run();
};

async function main(argv: readonly string[]): Promise<number> {
  const [word = "", ...rest] = argv;
  const helper = Object.hasOwn(HELPERS, word) ? HELPERS[word] : undefined;
  let debug = false;
  try {
    const loaded = await loadConfiguration({
      argv: helper === undefined ? argv : rest,
      environment: process.env,
      files: realFiles,
    });
    if (loaded.action !== "run") return await print(loaded.action === "help" ? helpText() : AGENT_VERSION);
    debug = loaded.config.get("debug");
    return await (helper ?? runAgent)(loaded.config);
  } catch (error) {
    const configuration = error instanceof ConfigurationError;
    process.stderr.write(`${PROGRAM}: ${redactText(errorText(error))}\n`);
    if (configuration && error.exitCode === 2) process.stderr.write(`${USAGE}\n`);
    if (debug && error instanceof Error && error.stack !== undefined)
      process.stderr.write(`${redactText(error.stack)}\n`);
    return configuration ? error.exitCode : 1;
  }
}

/** Helpers print data on standard output, so their log goes to standard error. */
function helperSystem(config: Config): System {
  return createSystem(logSettings(config, "stderr"));
}

function logSettings(config: Config, stream: LogSettings["stream"]): LogSettings {
  const [file, directory] = [config.get("log_file"), config.get("log_dir")];
  const name = file ?? (directory === null ? null : `${PROGRAM}.log`);
  return {
    name: "ironic_agent",
    debug: config.get("debug"),
    json: config.get("use_json"),
    file: name === null || directory === null || name.startsWith("/") ? name : `${directory}/${name}`,
    stream,
  };
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

const exitCode = await main(process.argv.slice(2));
await drained();
process.exit(exitCode);
