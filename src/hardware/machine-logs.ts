// The logs of this machine with what its hardware managers add to them: for the conductor after a failure, and for inspection.

import type { Config } from "../config/config.ts";
import { errorText, HardwareManagerMethodNotFound } from "../errors.ts";
import { collectSystemLogs, type MoreLogs } from "../steps/system-logs.ts";
import type { System } from "../system/system.ts";
import type { SystemLogs } from "./manager.ts";
import type { HardwareManagers } from "./managers.ts";

export type MachineLogsOptions = {
  readonly system: System;
  readonly config: Config;
  readonly managers: HardwareManagers;
  /** Latest lines of the journal to take; by default as many as fit. */
  readonly journalLines?: number;
  /** What programs have just printed, by the name of their member: these are not run again. */
  readonly outputs?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
};

/** Seconds for all managers together, while the programs run: the conductor waits a minute for everything. */
const MANAGERS_TIMEOUT = 35;

/** A tar.gz in base64. @throws CommandExecutionError when there is a journal that cannot be read */
export function collectMachineLogs(options: MachineLogsOptions): Promise<string> {
  const { system, journalLines, outputs, signal } = options;
  return collectSystemLogs(system, {
    ...(journalLines === undefined ? {} : { journalLines }),
    ...(outputs === undefined ? {} : { outputs }),
    findMore: () => findMore(options),
    signal,
  });
}

/** The agent's own log, and what the managers add. One that fails or hangs must not cost the operator the other logs. */
async function findMore(options: MachineLogsOptions): Promise<MoreLogs> {
  const { config, system, signal } = options;
  const files = [config.get("log_file"), config.get("log_dir")].filter((path) => path !== null);
  try {
    const additions = await askManagers(options);
    return {
      texts: Object.assign({}, ...additions.map(({ outputs }) => outputs)),
      files: [...files, ...additions.flatMap((addition) => addition.files)],
      notes: [],
    };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof HardwareManagerMethodNotFound) return { texts: {}, files, notes: [] };
    system.log.warning("The hardware managers' own logs are not collected", error);
    return { texts: {}, files, notes: [`hardware managers: left out, ${errorText(error)}`] };
  }
}

async function askManagers({ managers, system, signal }: MachineLogsOptions): Promise<SystemLogs[]> {
  const answered = new AbortController();
  const tooLate = system.clock
    .sleep(MANAGERS_TIMEOUT, AbortSignal.any([signal, answered.signal]))
    .then(() => {
      throw new Error(`no answer within ${MANAGERS_TIMEOUT} s`);
    });
  try {
    const answers = await Promise.race([managers.dispatchAll("collectSystemLogs", answered.signal), tooLate]);
    return [...answers.values()];
  } finally {
    // Ends the wait, and the work of a manager that is late.
    answered.abort(new Error("the logs are being sent"));
    tooLate.catch(() => undefined); // nobody waits for it any more
  }
}
