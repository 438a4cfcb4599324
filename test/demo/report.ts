// What stays on the screen after a run: the table of phases with the key figures, or everything that helps to find out
// why it failed.

import type { AgentFacts, Excerpt } from "./driver.ts";
import type { PhaseResult } from "./phases.ts";

export interface Figures {
  agent: AgentFacts;
  image: { format: string; sizeBytes: number; virtualSizeBytes: number };
  ramdiskBytes: number;
  /** Null when the ramdisk was made elsewhere. */
  agentBytes: number | null;
  /** The deployed system's own words. */
  marker: string;
}

const LONGEST_LINE = 300;
const IMAGE_PHASE = "write image";

export function successReport(phases: readonly PhaseResult[], figures: Figures): string {
  const total = phases.reduce((sum, { seconds }) => sum + seconds, 0);
  const rows = [...phases, { name: "total", seconds: total, detail: "" }];
  const width = Math.max(...rows.map(({ name }) => name.length));
  const table = rows.map(
    ({ name, seconds }) => `  ${name.padEnd(width)}  ${seconds.toFixed(1).padStart(7)} s`,
  );

  const { agent, image } = figures;
  const writing = phases.find(({ name }) => name === IMAGE_PHASE)?.seconds;
  const facts: [string, string][] = [
    [
      "image",
      `${image.format}, ${mebibytes(image.sizeBytes)} on the wire, ${mebibytes(image.virtualSizeBytes)} on the disk`,
    ],
    ...(writing === undefined
      ? []
      : [
          ["written at", `${(image.virtualSizeBytes / 1024 ** 2 / writing).toFixed(1)} MiB/s`] as [
            string,
            string,
          ],
        ]),
    ["agent", `${agent.version} at ${agent.url}${executable(figures.agentBytes)}`],
    ["its TLS certificate", agent.fingerprint ?? "none"],
    ["ramdisk", mebibytes(figures.ramdiskBytes)],
    ["deployed system", figures.marker],
  ];
  const label = Math.max(...facts.map(([name]) => name.length));
  const lines = facts.map(([name, value]) => `  ${name.padEnd(label)}  ${value}`);
  return ["", ...table, "", ...lines, ""].join("\n");
}

export interface Failure {
  /** The phase under way, or null. */
  phase: string | null;
  reason: string;
  excerpts: readonly Excerpt[];
  directory: string;
}

export function failureReport(failure: Failure): string {
  const where = failure.phase === null ? "" : ` in phase "${failure.phase}"`;
  const excerpts = failure.excerpts.flatMap(({ title, text }) => [
    "",
    `${title}:`,
    text === "" ? "  (nothing yet)" : quoted(text),
  ]);
  return [
    "",
    `The demo failed${where}: ${failure.reason}`,
    ...excerpts,
    "",
    `Full logs: ${failure.directory}`,
    "",
  ].join("\n");
}

/** Indented, and the lines that hold a whole node record cut short: they are in the full log. */
function quoted(text: string): string {
  const cut = (line: string) => (line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)} …` : line);
  return text
    .split("\n")
    .map((line) => `  | ${cut(line)}`)
    .join("\n");
}

function executable(bytes: number | null): string {
  return bytes === null ? "" : `, executable ${mebibytes(bytes)}`;
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(0)} MiB`;
}
