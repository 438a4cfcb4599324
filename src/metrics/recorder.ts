// Keeps the numbers of one agent in memory, and hands each measurement on to a sink (statsd) while there is one.
// What is kept per name is a sum and a count, never single values, so it stays small however long the agent lives.

import type { Clock } from "../system/clock.ts";
import type { Logger } from "../system/log.ts";
import type { Counter, Gauge, Metrics, Timer } from "./metrics.ts";

export type MetricKind = "timer" | "counter" | "gauge";

/** One metric as it is now. Times are seconds. */
export type Series = {
  readonly kind: MetricKind;
  readonly name: string;
  /** Measurements so far. */
  count: number;
  /** Sum of a timer's seconds or a counter's increments; a gauge's last value. */
  value: number;
};

/** Gets every measurement: seconds of a timer, increment of a counter, value of a gauge. Must not throw. */
export type MetricSink = (kind: MetricKind, name: string, value: number) => void;

/** Names beyond these are ignored: somebody builds them from something that never ends. */
const MAX_SERIES = 1000;

export class MetricsRecorder implements Metrics {
  readonly #clock: Clock;
  readonly #log: Logger;
  /** By kind and name as Prometheus would write it: two names that look the same there are one metric. */
  readonly #series = new Map<string, Series>();
  #sink: MetricSink | null = null;
  #warned = false;

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Where measurements go from now on; null = nowhere but here. */
  sendTo(sink: MetricSink | null): void {
    this.#sink = sink;
  }

  /** All metrics that have been measured at least once, in the order of their first measurement. */
  series(): Iterable<Readonly<Series>> {
    return this.#series.values();
  }

  timer(name: string): Timer {
    const record = this.#measurer("timer", name);
    const clock = this.#clock;
    return {
      record,
      async time(work) {
        const started = clock.monotonic();
        try {
          return await work();
        } finally {
          record(clock.monotonic() - started);
        }
      },
    };
  }

  counter(name: string): Counter {
    const add = this.#measurer("counter", name);
    return { increment: (by = 1) => add(by) };
  }

  gauge(name: string): Gauge {
    return { set: this.#measurer("gauge", name) };
  }

  /** A metric exists from its first measurement on, so that only what happens is listed. */
  #measurer(kind: MetricKind, name: string): (value: number) => void {
    let series: Series | null = null;
    return (value) => {
      // Measuring must never be what makes the work fail, and a NaN would poison the sum for good.
      if (!Number.isFinite(value) || (kind !== "gauge" && value < 0)) {
        this.#log.debug(`Ignoring the value ${value} of the ${kind} ${name}`);
        return;
      }
      series ??= this.#find(kind, name);
      if (series === null) return;
      series.count++;
      series.value = kind === "gauge" ? value : series.value + value;
      this.#sink?.(kind, series.name, value);
    };
  }

  #find(kind: MetricKind, name: string): Series | null {
    const key = `${kind} ${name.replace(/[^A-Za-z0-9_]/g, "_")}`;
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    if (this.#series.size >= MAX_SERIES) {
      if (!this.#warned)
        this.#log.warning(`There are ${MAX_SERIES} metrics; ${name} and all other new ones are ignored`);
      this.#warned = true;
      return null;
    }
    const series: Series = { kind, name: plainName(name), count: 0, value: 0 };
    this.#series.set(key, series);
    return series;
  }
}

/** Without what has a meaning in statsd's lines. */
function plainName(name: string): string {
  return name.replace(/[^A-Za-z0-9_.-]/g, "_");
}
