import { describe, expect, test } from "bun:test";
import { type MetricKind, MetricsRecorder } from "../../src/metrics/recorder.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";

function recorder() {
  const clock = new ManualClock();
  const { log, records } = recordedSystem();
  const metrics = new MetricsRecorder(clock, log);
  return { clock, metrics, records, series: () => [...metrics.series()] };
}

describe("measuring", () => {
  test("a timer measures work that succeeds and work that fails, and hands both on", async () => {
    const { clock, metrics, series } = recorder();
    const timer = metrics.timer("work");
    const slow = timer.time(() => clock.sleep(2).then(() => "done"));
    await clock.advance(2);
    expect(await slow).toBe("done");
    const failing = timer.time(() => clock.sleep(3).then(() => Promise.reject(new Error("broken"))));
    const failed = rejection(failing);
    await clock.advance(3);
    expect(await failed).toMatchObject({ message: "broken" });
    expect(await timer.time(() => "at once")).toBe("at once");
    expect(series()).toEqual([{ kind: "timer", name: "work", count: 3, value: 5 }]);
  });

  test("counters add up, gauges keep the last value, and the same name is the same metric", () => {
    const { metrics, series } = recorder();
    metrics.counter("errors").increment();
    metrics.counter("errors").increment(2.5);
    metrics.gauge("temperature").set(20);
    metrics.gauge("temperature").set(-4);
    expect(series()).toEqual([
      { kind: "counter", name: "errors", count: 2, value: 3.5 },
      { kind: "gauge", name: "temperature", count: 2, value: -4 },
    ]);
  });

  test("names that Prometheus cannot tell apart are one metric; those of other kinds are others", () => {
    const { metrics, series } = recorder();
    metrics.counter("raid.sync").increment();
    metrics.counter("raid-sync").increment();
    metrics.gauge("raid.sync").set(1);
    expect(series().map(({ kind, name, count }) => [kind, name, count])).toEqual([
      ["counter", "raid.sync", 2],
      ["gauge", "raid.sync", 1],
    ]);
  });

  test("what has not been measured does not exist", () => {
    const { metrics, series } = recorder();
    metrics.timer("a");
    metrics.counter("b");
    metrics.gauge("c");
    expect(series()).toEqual([]);
  });

  test("impossible values are ignored and harm nothing", () => {
    const { metrics, series } = recorder();
    metrics.counter("c").increment(1);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -1]) {
      metrics.counter("c").increment(value);
      metrics.timer("t").record(value);
    }
    metrics.gauge("g").set(Number.NaN);
    expect(series()).toEqual([{ kind: "counter", name: "c", count: 1, value: 1 }]);
  });

  test("names without end are cut off with one warning; known ones go on", () => {
    const { metrics, series, records } = recorder();
    for (let i = 0; i < 2000; i++) metrics.counter(`disk.${i}`).increment();
    metrics.counter("disk.0").increment();
    expect(series().length).toBe(1000);
    expect(series()[0]).toMatchObject({ name: "disk.0", value: 2 });
    expect(records.filter(({ level }) => level === "WARNING").length).toBe(1);
  });
});

test("the sink gets every measurement, with names that no format can stumble over", () => {
  const { metrics } = recorder();
  const seen: [MetricKind, string, number][] = [];
  metrics.counter("before").increment();
  metrics.sendTo((...measurement) => seen.push(measurement));
  metrics.timer("a:b|c@d\ne f").record(0.25);
  metrics.counter("before").increment(3);
  metrics.sendTo(null);
  metrics.gauge("after").set(1);
  expect(seen).toEqual([
    ["timer", "a_b_c_d_e_f", 0.25],
    ["counter", "before", 3],
  ]);
});
