// The collector logs: the machine's logs beside the data, because the inspection runs before any node is
// known and nobody can ask for them later. It waits for the collectors before it, so that what they logged is
// inside, and it never fails the inspection.

import { errorText } from "../errors.ts";
import { collectMachineLogs } from "../hardware/machine-logs.ts";
import type { Collector } from "./collector.ts";

/** Lines of the journal. */
const JOURNAL_LINES = 10_000;
/** Seconds that lshw's answer to another collector is good for. */
const LSHW_AGE = 60;

export const collectLogs: Collector = async ({ system, config, managers, earlier, signal }) => {
  await earlier;
  try {
    const lshw = managers.lshw.printed(LSHW_AGE);
    const outputs = lshw === null ? {} : { lshw };
    const options = { system, config, managers, journalLines: JOURNAL_LINES, outputs, signal };
    return { logs: await collectMachineLogs(options) };
  } catch (error) {
    // Whatever it is: data without logs are worth more than none.
    signal.throwIfAborted();
    system.log.warning(`the inspection data come without logs: ${errorText(error)}`);
    return {};
  }
};
