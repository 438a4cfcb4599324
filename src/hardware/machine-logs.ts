// The logs of this machine with what its hardware managers add to them: for the conductor after a failure, and for inspection.

import type { Config } from "../config/config.ts";
import { errorText, HardwareManagerMethodNotFound } from "../errors.ts";
import { collectSystemLogs } from "../steps/system-logs.ts";
import type { System } from "../system/system.ts";
import type { SystemLogs } from "./manager.ts";
import type { HardwareManagers } from "./managers.ts";

export type MachineLogsOptions = {
  readonly system: System;
  readonly config: Config;
  readonly managers: HardwareManagers;
  /** Latest lines of the journal to take; by default as many as fit. */
  readonly journalLines?: number;
  readonly signal: AbortSignal;
};

/** Seconds for all managers together: the conductor waits a minute for everything. */
const MANAGERS_TIMEOUT = 15;

/** A tar.gz in base64. @throws CommandExecutionError when there is a journal that cannot be read */
export async function collectMachineLogs(options: MachineLogsOptions): Promise<string> {
  const { system, config, journalLines, signal } = options;
  const { additions, notes } = await askManagers(options);
  return collectSystemLogs(system, {
    ...(journalLines === undefined ? {} : { journalLines }),
    texts: Object.assign({}, ...additions.map(({ outputs }) => outputs)),
    files: [
      ...[config.get("log_file"), config.get("log_dir")].filter((path) => path !== null),
      ...additions.flatMap(({ files }) => files),
    ],
    notes,
    signal,
  });
}

/** A manager that fails or hangs must not cost the operator the other logs. */
async function askManagers(
  options: MachineLogsOptions,
): Promise<{ additions: SystemLogs[]; notes: string[] }> {
  const { managers, system, signal } = options;
  const answered = new AbortController();
  const tooLate = system.clock
    .sleep(MANAGERS_TIMEOUT, AbortSignal.any([signal, answered.signal]))
    .then(() => {
      throw new Error(`no answer within ${MANAGERS_TIMEOUT} s`);
    });
  try {
    const answers = await Promise.race([managers.dispatchAll("collectSystemLogs", answered.signal), tooLate]);
    return { additions: [...answers.values()], notes: [] };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof HardwareManagerMethodNotFound) return { additions: [], notes: [] };
    system.log.warning("The hardware managers' own logs are not collected", error);
    return { additions: [], notes: [`hardware managers: left out, ${errorText(error)}`] };
  } finally {
    // Ends the wait, and the work of a manager that is late.
    answered.abort(new Error("the logs are being sent"));
    tooLate.catch(() => undefined); // nobody waits for it any more
  }
}
