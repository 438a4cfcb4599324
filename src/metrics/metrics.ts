// What everybody measures with, plug-in hardware managers included: timers, counters and gauges by name. Where the
// numbers go (nowhere, statsd, GET /metrics) is none of their business.

/** Names are dotted, e.g. `ironic_python_agent.api.app.get_status`. The same name always gives the same metric. */
export interface Metrics {
  /** How long something takes. */
  timer(name: string): Timer;
  /** How often something happens. */
  counter(name: string): Counter;
  /** How much of something there is now. */
  gauge(name: string): Gauge;
}

export interface Timer {
  /** Runs `work` and records how long it took, also when it fails. Result and error are those of `work`. */
  time<T>(work: () => T | Promise<T>): Promise<T>;
  record(seconds: number): void;
}

export interface Counter {
  /** Adds `by` (1 unless given), which is not negative. */
  increment(by?: number): void;
}

export interface Gauge {
  set(value: number): void;
}

/** Measures nothing: for programs that have no use for metrics. */
export const NO_METRICS: Metrics = {
  timer: () => ({ time: async (work) => work(), record: () => undefined }),
  counter: () => ({ increment: () => undefined }),
  gauge: () => ({ set: () => undefined }),
};
