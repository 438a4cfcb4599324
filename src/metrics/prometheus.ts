// The numbers in Prometheus' text format (version 0.0.4), for GET /metrics. Pure.

import type { Series } from "./recorder.ts";

export const PROMETHEUS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Dots become underscores; timers are summaries in seconds, counters end in `_total`, as Prometheus' users expect. */
export function prometheusText(series: Iterable<Readonly<Series>>): string {
  const families = new Map<string, string>();
  for (const metric of series) {
    const base = metricName(metric.name);
    const name = base + { timer: "_seconds", counter: "_total", gauge: "" }[metric.kind];
    // A gauge may be called like a counter's or a timer's family; a scrape with both would be refused whole.
    if (!families.has(name)) families.set(name, family(name, metric));
  }
  return [...families.values()].join("");
}

function family(name: string, { kind, count, value }: Readonly<Series>): string {
  if (kind === "timer")
    return `# TYPE ${name} summary\n${name}_sum ${numberText(value)}\n${name}_count ${count}\n`;
  return `# TYPE ${name} ${kind}\n${name} ${numberText(value)}\n`;
}

function metricName(name: string): string {
  const plain = name.replace(/[^A-Za-z0-9_]/g, "_");
  return /^[0-9]/.test(plain) || plain === "" ? `_${plain}` : plain;
}

function numberText(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(12)));
}
