// How burn-in runs its tools: each for hours or days, with what it printed in the log afterwards, and with one kind of error.
// Source: hardware specification 10.3.

import { CommandExecutionError, errorText } from "../../errors.ts";
import type { ProgramResult, RunOptions } from "../../system/programs.ts";
import type { StepContext } from "../step.ts";

/** What burn-in needs of a step's context. */
export type BurnInContext = Pick<StepContext, "system" | "config" | "node" | "signal" | "report">;

/** Seconds a tool may take beyond its own time: the last round of a slow machine is not cut off. */
const OVERTIME = 3600;
/** Of what a tool printed; the rest is progress that nobody wants to read again. */
const LOGGED_LINES = 300;

/**
 * Runs a tool until it ends by itself or the step is aborted.
 * @throws CommandExecutionError naming the tool when it is missing or has found something
 */
export async function runTool(
  context: Pick<BurnInContext, "system" | "signal">,
  argv: readonly string[],
  options: Pick<RunOptions, "timeout" | "directory"> = {},
): Promise<ProgramResult> {
  const { system, signal } = context;
  const tool = toolName(argv);
  try {
    const result = await system.run(argv, { timeout: Number.POSITIVE_INFINITY, ...options, signal });
    logOutput(context, tool, `${result.stderr}\n${result.stdout}`);
    return result;
  } catch (error) {
    signal.throwIfAborted();
    throw new CommandExecutionError(`${tool} failed: ${errorText(error)}`, { cause: error });
  }
}

/** The time limit of a tool that was told to run for `seconds`; 0 is for ever. */
export function limitOf(seconds: number): number {
  return seconds === 0 ? Number.POSITIVE_INFINITY : seconds + OVERTIME;
}

function toolName(argv: readonly string[]): string {
  return argv[0]?.split("/").at(-1) ?? "";
}

function logOutput({ system }: Pick<BurnInContext, "system">, tool: string, output: string): void {
  const lines = output.split(/[\r\n]+/).filter((line) => line.trim() !== "");
  for (const line of lines.slice(-LOGGED_LINES)) system.log.info(`${tool}: ${line.trimEnd()}`);
}
