// Progress of work that tells nothing while it runs: drives that erase themselves. All there is to show is the time, held against
// the time that the drive had announced.

import type { ReportProgress } from "../progress.ts";
import type { Clock } from "../system/clock.ts";

/** Seconds between reports. */
const INTERVAL = 5;
/** Percent: what is not over is never shown as done. */
const MOST = 99;

export type ElapsedProgress = {
  readonly clock: Clock;
  readonly report: ReportProgress;
  readonly phase: string;
  /** Seconds; null if nobody knows. */
  readonly expected: number | null;
};

/** Reports until `work` has ended; its result or error. */
export async function reportWhile<T>(work: Promise<T>, progress: ElapsedProgress): Promise<T> {
  const ended = new AbortController();
  const reporting = keepReporting(progress, ended.signal);
  try {
    return await work;
  } finally {
    ended.abort();
    await reporting;
  }
}

async function keepReporting(
  { clock, report, phase, expected }: ElapsedProgress,
  ended: AbortSignal,
): Promise<void> {
  const started = clock.monotonic();
  while (!ended.aborted) {
    const elapsed = clock.monotonic() - started;
    report({
      phase,
      done: expected === null ? null : Math.min(MOST, Math.floor((100 * elapsed) / expected)),
      total: expected === null ? null : 100,
      unit: "percent",
      rate: null,
      remaining: expected === null ? null : Math.max(0, Math.round(expected - elapsed)),
    });
    try {
      await clock.sleep(INTERVAL, ended);
    } catch {
      // The work has ended, which is the only reason for this sleep to be cut short.
    }
  }
}
