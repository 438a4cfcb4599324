// Figures out of lists of requests. Pure.

import type { ApiRequest } from "./protocol.ts";

/** Requests per second of the clock, from `from` to `to` (milliseconds), empty seconds included. */
export function perSecond(requests: readonly ApiRequest[], from: number, to: number): number[] {
  const counts: number[] = Array(Math.max(1, Math.ceil((to - from) / 1000))).fill(0);
  for (const { at } of requests) {
    const second = Math.floor((at - from) / 1000);
    if (second >= 0 && second < counts.length) counts[second] = (counts[second] ?? 0) + 1;
  }
  return counts;
}

/** The value that `share` (0 to 1) of all values do not exceed; 0 of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? 0;
}

export const mean = (values: readonly number[]) =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;

export const largest = (values: readonly number[]) => values.reduce((a, b) => Math.max(a, b), 0);

/** `{202: 17, 503: 2, "no answer": 4}` */
export function statuses(requests: readonly ApiRequest[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status } of requests) {
    const name = status === 0 ? "no answer" : String(status);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}
