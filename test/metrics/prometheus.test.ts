// The text format's grammar is that of https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4).

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { prometheusText } from "../../src/metrics/prometheus.ts";
import { MetricsRecorder } from "../../src/metrics/recorder.ts";
import { recordedSystem } from "../support/recorded-system.ts";

function recorder(): MetricsRecorder {
  const { clock, log } = recordedSystem();
  return new MetricsRecorder(clock, log);
}

describe("the text", () => {
  test("of a timer, a counter and a gauge", () => {
    const metrics = recorder();
    metrics.timer("ironic_python_agent.api.app.get_status").record(0.1);
    metrics.timer("ironic_python_agent.api.app.get_status").record(0.2);
    metrics.counter("heartbeat.failed").increment(2);
    metrics.gauge("fan-1.rpm").set(-0.5);
    expect(prometheusText(metrics.series())).toBe(
      [
        "# TYPE ironic_python_agent_api_app_get_status_seconds summary",
        "ironic_python_agent_api_app_get_status_seconds_sum 0.3",
        "ironic_python_agent_api_app_get_status_seconds_count 2",
        "# TYPE heartbeat_failed_total counter",
        "heartbeat_failed_total 2",
        "# TYPE fan_1_rpm gauge",
        "fan_1_rpm -0.5",
        "",
      ].join("\n"),
    );
  });

  test("of nothing is empty", () => {
    expect(prometheusText([])).toBe("");
  });

  test("never has a family twice, nor a name that may not be", () => {
    const kinds = fc.constantFrom("timer" as const, "counter" as const, "gauge" as const);
    const names = fc.oneof(fc.string(), fc.constantFrom("a.b", "a_b", "a.b_total", "a_b_seconds", "9", ""));
    const measurements = fc.array(fc.tuple(kinds, names, fc.double()), { maxLength: 40 });
    fc.assert(
      fc.property(measurements, (given) => {
        const metrics = recorder();
        for (const [kind, name, value] of given) {
          if (kind === "timer") metrics.timer(name).record(value);
          else if (kind === "counter") metrics.counter(name).increment(value);
          else metrics.gauge(name).set(value);
        }
        const lines = prometheusText(metrics.series()).split("\n");
        expect(lines.pop()).toBe("");
        const families = lines.filter((line) => line.startsWith("# TYPE "));
        expect(new Set(families.map((line) => line.split(" ")[2])).size).toBe(families.length);
        for (const line of lines)
          expect(line).toMatch(
            /^(# TYPE [a-zA-Z_][a-zA-Z0-9_]* (summary|counter|gauge)|[a-zA-Z_][a-zA-Z0-9_]* -?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?)$/,
          );
      }),
    );
  });
});
