// Turns byte counts into progress reports at a rate that people and clients can follow, with a speed over the last seconds
// rather than since the start, so that a stall shows.

import type { ReportProgress } from "../progress.ts";
import type { Clock } from "../system/clock.ts";

/** Seconds between reports. */
const INTERVAL = 0.5;
/** Seconds the rate looks back. */
const WINDOW = 5;

export class ProgressMeter {
  readonly #clock: Clock;
  readonly #report: ReportProgress;
  readonly #phase: string;
  readonly #total: number | null;
  readonly #samples: { at: number; done: number }[] = [];

  /** Reports the start of `phase` at once. `total` in bytes, null if not known. */
  constructor(clock: Clock, report: ReportProgress, phase: string, total: number | null) {
    this.#clock = clock;
    this.#report = report;
    this.#phase = phase;
    this.#total = total;
    this.#publish(0);
  }

  /** `done` bytes so far; cheap enough to be called for every buffer. */
  update(done: number): void {
    const last = this.#samples.at(-1);
    if (last === undefined || this.#clock.monotonic() - last.at >= INTERVAL || done === this.#total)
      this.#publish(done);
  }

  #publish(done: number): void {
    const at = this.#clock.monotonic();
    this.#samples.push({ at, done });
    while (this.#samples.length > 2 && at - (this.#samples[1]?.at ?? at) > WINDOW) this.#samples.shift();
    const first = this.#samples[0];
    const seconds = at - (first?.at ?? at);
    const rate = seconds > 0 ? Math.round((done - (first?.done ?? 0)) / seconds) : null;
    this.#report({ phase: this.#phase, done, total: this.#total, unit: "bytes", rate });
  }
}
