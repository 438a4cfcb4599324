// Waiting for foreign code with an end to it: after the time limit, or when the caller aborts, the work is told; if it does not
// listen, it is ended by force and not waited for.

import type { Clock } from "../../system/clock.ts";

export type TimeLimit = {
  readonly clock: Clock;
  /** Null: as long as it takes. */
  readonly seconds: number | null;
  /** The caller's. */
  readonly signal?: AbortSignal | undefined;
  /** Seconds the work may take to end after it was told to. */
  readonly grace: number;
  /** Ends it by force. */
  readonly kill: () => void;
  /** What to throw when the time is over. */
  readonly timeoutError: () => Error;
};

/** @throws what `work` throws; the timeout error; the signal's reason if it had to be ended by force */
export async function withTimeLimit<T>(
  limit: TimeLimit,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { clock, seconds, signal, grace } = limit;
  signal?.throwIfAborted();
  const over = new AbortController();
  const done = new AbortController();
  let late: Error | null = null;
  const onAbort = () => over.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const ignoreDone = () => undefined; // the wait was given up because the work is done
  if (seconds !== null)
    clock.sleep(seconds, done.signal).then(() => {
      late = limit.timeoutError();
      over.abort(late);
    }, ignoreDone);
  const forced = new Promise<never>((_, reject) => {
    const force = () => {
      clock.sleep(grace, done.signal).then(() => {
        limit.kill();
        reject(over.signal.reason);
      }, ignoreDone);
    };
    over.signal.addEventListener("abort", force, { once: true });
  });
  try {
    return await Promise.race([work(over.signal), forced]);
  } catch (error) {
    throw late ?? error;
  } finally {
    done.abort(new Error("done"));
    signal?.removeEventListener("abort", onAbort);
  }
}
