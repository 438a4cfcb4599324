// The long self-test of disks: the drive reads all of itself and says what it thinks of it. It takes hours and runs inside the
// drives, all of them at once. Source: hardware specification 10.3; smartctl(8).

import { CleaningError, errorText } from "../../errors.ts";
import { type Json, member } from "../../json.ts";
import { ProgramFailedError, ProgramMissingError } from "../../system/programs.ts";
import type { System } from "../../system/system.ts";
import type { BurnInContext } from "./tool.ts";

/** Seconds between questions. */
const INTERVAL = 30;
/** A bit in the exit status may tell of the drive's past; the report is what counts. */
const ANY_EXIT_CODE = Array.from({ length: 256 }, (_, code) => code);

export type SelfTest = {
  readonly state: "running" | "passed" | "failed";
  /** The drive's words. */
  readonly text: string;
  /** Percent left; null if the drive does not say. */
  readonly remaining: number | null;
};

/**
 * Starts the test on all disks and waits for the last one. A disk whose state cannot be read any more is not waited for.
 * @throws CleaningError naming the disks that would not start it, or did not pass
 */
export async function smartTest(context: BurnInContext, disks: readonly string[]): Promise<void> {
  const { system, signal, report } = context;
  const refused: string[] = [];
  for (const disk of disks) {
    const reason = await startTest(system, disk, signal);
    if (reason !== null) refused.push(`${disk} (${reason})`);
  }
  if (refused.length > 0)
    throw new CleaningError(`The SMART self-test could not be started on ${refused.join(", ")}`);
  const failed: string[] = [];
  let waiting = [...disks];
  while (waiting.length > 0) {
    const running: string[] = [];
    let remaining = 0;
    for (const disk of waiting) {
      const test = await readTest(system, disk, signal);
      if (test === null)
        system.log.warning(`the SMART self-test of ${disk} does not count: its state is unreadable`);
      else if (test.state === "failed") failed.push(`${disk} (${test.text})`);
      else if (test.state === "running") {
        running.push(disk);
        remaining = Math.max(remaining, test.remaining ?? 0);
      } else system.log.info(`${disk} passed its SMART self-test`);
    }
    waiting = running;
    if (waiting.length === 0) break;
    const phase = `waiting for the SMART self-test of ${waiting.join(", ")}`;
    report({ phase, done: 100 - remaining, total: 100, unit: "percent", rate: null });
    await system.clock.sleep(INTERVAL, signal);
  }
  if (failed.length > 0) throw new CleaningError(`The SMART self-test failed on ${failed.join(", ")}`);
}

/** What `smartctl -j -a` says of the latest self-test of an ATA drive; null if that is nothing. */
export function parseSelfTest(stdout: string): SelfTest | null {
  let report: Json;
  try {
    report = JSON.parse(stdout) as Json;
  } catch {
    // No report at all: as with one that says nothing of a test.
    return null;
  }
  const status = member(member(member(report, "ata_smart_data"), "self_test"), "status");
  const text = member(status, "string");
  if (typeof text !== "string") return null;
  const remaining = member(status, "remaining_percent");
  return {
    state: text.includes("in progress")
      ? "running"
      : text.includes("completed without error")
        ? "passed"
        : "failed",
    text,
    remaining: typeof remaining === "number" ? Math.min(100, Math.max(0, remaining)) : null,
  };
}

/** Null when it runs, else why it does not. */
async function startTest(system: System, disk: string, signal: AbortSignal): Promise<string | null> {
  try {
    await system.run(["smartctl", "-t", "long", disk], { signal });
    return null;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ProgramMissingError || error instanceof ProgramFailedError) return errorText(error);
    throw error;
  }
}

async function readTest(system: System, disk: string, signal: AbortSignal): Promise<SelfTest | null> {
  try {
    const { stdout } = await system.run(["smartctl", "-ja", disk], {
      signal,
      allowedExitCodes: ANY_EXIT_CODE,
    });
    return parseSelfTest(stdout);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ProgramMissingError || error instanceof ProgramFailedError) return null;
    throw error;
  }
}
