// The command line of the scenarios.

import { parseArgs } from "node:util";
import { UsageError } from "../demo/options.ts";
import type { Scenario } from "./scenario.ts";

export interface RunOptions {
  scenarios: readonly Scenario[];
  list: boolean;
  /** Builds ramdisk and image again. */
  fresh: boolean;
  /** Keeps the disks and logs of scenarios that passed, too. */
  keep: boolean;
}

export const USAGE = `usage: npm run test:ironic -- [OPTIONS] [SCENARIO …]

Lets the real Ironic clean and deploy emulated bare metal machines through their BMCs, with the agent in the
ramdisk. Plays all scenarios, or those that are named.

  --list    names and descriptions of the scenarios
  --fresh   build ramdisk and image again
  --keep    keep disks and logs (failed scenarios keep them anyway)
  --help    this text
`;

/** Null when help was asked for. Throws UsageError. */
export function parseRunOptions(args: readonly string[], all: readonly Scenario[]): RunOptions | null {
  const { values, positionals } = parsed(args);
  if (values.help) return null;
  for (const name of positionals) {
    if (!all.some((scenario) => scenario.name === name)) {
      throw new UsageError(`there is no scenario "${name}" (--list tells which there are)`);
    }
  }
  return {
    scenarios: positionals.length === 0 ? all : all.filter(({ name }) => positionals.includes(name)),
    list: values.list,
    fresh: values.fresh,
    keep: values.keep,
  };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        list: { type: "boolean", default: false },
        fresh: { type: "boolean", default: false },
        keep: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split("\n")[0]} (--help tells what there is)`);
  }
}
