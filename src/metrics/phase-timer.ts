// Times the phases of an image's way onto a disk from the progress that is reported, so that nothing below the commands has to
// know of metrics. Other work names its phases for people ("erasing metadata of /dev/sda"), which makes no names of metrics.

import type { Progress } from "../progress.ts";
import type { Clock } from "../system/clock.ts";
import type { Metrics } from "./metrics.ts";

const IMAGE_PHASES = new Set(["download", "write", "convert"]);

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
    if (IMAGE_PHASES.has(phase)) this.#current = { phase, started: this.#clock.monotonic() };
  }

  ended(): void {
    if (this.#current === null) return;
    const { phase, started } = this.#current;
    this.#metrics.timer(`ironic_python_agent.image.${phase}`).record(this.#clock.monotonic() - started);
    this.#current = null;
  }
}
