// Times the phases that long work goes through (download, write, erase …) from the progress it reports, so that nothing below
// the commands has to know of metrics.

import type { Progress } from "../progress.ts";
import type { Clock } from "../system/clock.ts";
import type { Metrics } from "./metrics.ts";

/** Of one command: a phase lasts from its first report to that of the next, or to the end of the command. */
export class PhaseTimer {
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  #current: { readonly phase: string; readonly started: number } | null = null;

  constructor(metrics: Metrics, clock: Clock) {
    this.#metrics = metrics;
    this.#clock = clock;
  }

  reported({ phase }: Progress): void {
    if (this.#current?.phase === phase) return;
    this.ended();
    this.#current = { phase, started: this.#clock.monotonic() };
  }

  ended(): void {
    if (this.#current === null) return;
    const { phase, started } = this.#current;
    this.#metrics.timer(`ironic_python_agent.phase.${phase}`).record(this.#clock.monotonic() - started);
    this.#current = null;
  }
}
