// A clock that stands still until the test moves it: for code that waits in the background while other things happen.

import type { Clock } from "../../src/system/clock.ts";

type Sleeper = { readonly until: number; readonly wake: () => void };

export class ManualClock implements Clock {
  #elapsed = 0;
  readonly #sleepers = new Set<Sleeper>();
  /** Where in its range `uniform` answers: 0 = low, 1 = high. */
  position = 0;

  now(): number {
    return 1_800_000_000 + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  uniform(low: number, high: number): number {
    return low + (high - low) * this.position;
  }

  sleep(seconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const sleeper: Sleeper = { until: this.#elapsed + seconds, wake: resolve };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", () => {
        if (this.#sleepers.delete(sleeper)) reject(signal.reason);
      });
    });
  }

  /** Moves time on, waking sleepers in order and letting what they do settle before the next. */
  async advance(seconds: number): Promise<void> {
    const end = this.#elapsed + seconds;
    await settled();
    for (;;) {
      const next = [...this.#sleepers].sort((a, b) => a.until - b.until)[0];
      if (next === undefined || next.until > end) break;
      this.#sleepers.delete(next);
      this.#elapsed = Math.max(this.#elapsed, next.until);
      next.wake();
      await settled();
    }
    this.#elapsed = end;
  }
}

/** Everything that waits for nothing but promises has run. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}
