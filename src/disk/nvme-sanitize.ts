// Erasing a whole NVMe subsystem by the Sanitize command, which also reaches what no namespace shows: caches, spare and deallocated
// blocks. It runs in the background, goes on over resets and power cycles and cannot be taken back. QEMU has none and no disk
// with it was at hand, so this follows the specification and the sources of nvme-cli, and is off unless asked for.
// Source: NVM Express Base Specification, Sanitize (SANICAP, log page 81h); nvme-sanitize(1), nvme-sanitize-log(1).

import { BlockDeviceEraseError, errorText } from "../errors.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import type { ReportProgress } from "../progress.ts";
import type { System } from "../system/system.ts";
import type { NvmeController } from "./nvme-format.ts";

/** By preference, with its bit in SANICAP and its number in the command. */
const ACTIONS = [
  { name: "crypto", bit: 1, number: 4 },
  { name: "block", bit: 2, number: 2 },
  { name: "overwrite", bit: 4, number: 3 },
] as const;

export type SanitizeAction = (typeof ACTIONS)[number]["name"];

/** Seconds between two looks at the log. */
const INTERVAL = 5;
/** What SPROG counts to. */
const WHOLE = 65_536;

const STATES = {
  0: "never",
  1: "done",
  2: "running",
  3: "failed",
  // Without deallocating afterwards.
  4: "done",
} as const;

export type SanitizeState = {
  readonly state: (typeof STATES)[keyof typeof STATES];
  /** Of WHOLE, while it runs. */
  readonly progress: number;
  /** As the tool words it. */
  readonly text: string;
};

/** Null: the controller has no Sanitize. */
export function sanitizeAction({ sanicap }: NvmeController): SanitizeAction | null {
  return ACTIONS.find(({ bit }) => (sanicap & bit) !== 0)?.name ?? null;
}

/**
 * Sanitizes the subsystem of `device` and waits until that is over.
 * @returns how the controller says it ended
 * @throws BlockDeviceEraseError
 */
export async function sanitizeNvme(
  system: System,
  device: string,
  action: SanitizeAction,
  { signal, report }: { readonly signal: AbortSignal; readonly report: ReportProgress },
): Promise<string> {
  const phase = `NVMe sanitize (${action})`;
  try {
    // One that is under way already, for a sibling or from before a reset, makes the controller refuse another.
    await waitWhileRunning(system, device, { phase, signal, report });
    const number = ACTIONS.find(({ name }) => name === action)?.number;
    await system.run(["nvme", "sanitize", device, `--sanact=${number}`], { signal });
    const { state, text } = await waitWhileRunning(system, device, { phase, signal, report });
    if (state === "done") return text;
    throw new Error(`the controller says: ${text}`);
  } catch (error) {
    signal.throwIfAborted();
    throw new BlockDeviceEraseError(
      `The ${phase} of ${device} failed: ${errorText(error)}. A controller whose sanitize has failed refuses all else ` +
        `until another one succeeds, or until: nvme sanitize ${device} --sanact=1`,
      { cause: error },
    );
  }
}

async function waitWhileRunning(
  system: System,
  device: string,
  { phase, signal, report }: { phase: string; signal: AbortSignal; report: ReportProgress },
): Promise<SanitizeState> {
  for (;;) {
    const { stdout } = await system.run(["nvme", "sanitize-log", device, "-o", "json"], { signal });
    const now = parseSanitizeLog(stdout);
    if (now.state !== "running") return now;
    report({ phase, done: now.progress, total: WHOLE, unit: "parts", rate: null });
    await system.clock.sleep(INTERVAL, signal);
  }
}

/**
 * `{"nvme0n1": {"sprog": 65535, "sstat": {…, "status": "(1) Most Recent …"}}}`; some releases of nvme-cli use the
 * words of the status as its key.
 * @throws Error if it is not that
 */
export function parseSanitizeLog(stdout: string): SanitizeState {
  const fault = () => new Error(`nvme sanitize-log printed no status: ${stdout.slice(0, 200)}`);
  let document: unknown;
  try {
    document = JSON.parse(stdout);
  } catch (error) {
    throw new Error(fault().message, { cause: error });
  }
  const log = isJsonObject(document) ? bodyOf(document) : null;
  if (log === null || !isJsonObject(log.sstat)) throw fault();
  for (const value of Object.values(log.sstat)) {
    const match = typeof value === "string" ? /^\(([0-4])\) (.*)$/s.exec(value) : null;
    if (match === null) continue;
    const state = STATES[Number(match[1]) as keyof typeof STATES];
    const progress = typeof log.sprog === "number" ? Math.min(WHOLE, Math.max(0, log.sprog)) : 0;
    return { state, progress, text: match[2] ?? "" };
  }
  throw fault();
}

/** The log itself, with or without the device's name around it. */
function bodyOf(document: JsonObject): JsonObject | null {
  if ("sstat" in document) return document;
  return Object.values(document).find(isJsonObject) ?? null;
}
