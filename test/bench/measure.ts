// What the benchmarks share: starting processes, reading their memory from /proc, medians, and the table.

import { readFile } from "node:fs/promises";

export type Row = { what: string; ours: string; reference: string; ratio: string; goal: string };

/** Middle value; the machines are noisy, and a mean would show it. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Resident memory in bytes, now (`VmRSS`) or at its peak (`VmHWM`). */
export async function residentMemory(pid: number, which: "VmRSS" | "VmHWM"): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${which}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) * 1024;
}

export const seconds = (value: number) => `${value.toFixed(3)} s`;
export const mebibytes = (bytes: number) => `${(bytes / 1024 ** 2).toFixed(0)} MiB`;
export const rate = (bytes: number, time: number) => `${(bytes / 1024 ** 2 / time).toFixed(0)} MiB/s`;

/** Rows as a Markdown table, for the terminal and for the docs alike. */
export function table(rows: readonly Row[]): string {
  const header: Row = { what: "figure", ours: "ours", reference: "reference", ratio: "ratio", goal: "goal" };
  const keys = ["what", "ours", "reference", "ratio", "goal"] as const;
  const widths = keys.map((key) => Math.max(...[header, ...rows].map((row) => row[key].length)));
  const line = (row: Row) => `| ${keys.map((key, i) => row[key].padEnd(widths[i] ?? 0)).join(" | ")} |`;
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [line(header), rule, ...rows.map(line)].join("\n");
}
