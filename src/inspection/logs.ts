// The collector logs: the machine's logs beside the data, because the inspection runs before any node is
// known and nobody can ask for them later. It waits for the collectors before it, so that what they logged is
// inside, and it never fails the inspection.

import { CommandExecutionError, errorText } from "../errors.ts";
import { collectMachineLogs } from "../hardware/machine-logs.ts";
import type { Collector } from "./collector.ts";

/** Lines of the journal. */
const JOURNAL_LINES = 10_000;

export const collectLogs: Collector = async ({ system, config, managers, earlier, signal }) => {
  await earlier;
  try {
    return {
      logs: await collectMachineLogs({ system, config, managers, journalLines: JOURNAL_LINES, signal }),
    };
  } catch (error) {
    if (!(error instanceof CommandExecutionError)) throw error;
    system.log.warning(`the inspection data come without logs: ${errorText(error)}`);
    return {};
  }
};
