// How far the first synchronisation of an array is. A new array can be used at once while its members are being made alike; until
// that is over it does not survive the loss of a disk. Source: the kernel's Documentation/admin-guide/md.rst.

import type { ReportProgress } from "../progress.ts";
import type { System } from "../system/system.ts";
import { kernelName } from "./block-tree.ts";

/** Seconds between two looks. */
const INTERVAL = 5;
const SECTOR = 512;

export type ArraySync = {
  /** The kernel's word: resync, recover, check … */
  readonly action: string;
  /** Bytes of each member. */
  readonly done: number;
  readonly total: number;
  /** Bytes per second. */
  readonly rate: number | null;
};

/** Null: the array is in sync, or has nothing to synchronise (RAID 0). */
export async function readSync(system: System, array: string): Promise<ArraySync | null> {
  const directory = `/sys/class/block/${await kernelName(system, array)}/md`;
  const action = await system.files.readAttribute(`${directory}/sync_action`);
  if (action === null || action === "idle" || action === "frozen") return null;
  const completed = (await system.files.readAttribute(`${directory}/sync_completed`)) ?? "";
  const speed = await system.files.readAttribute(`${directory}/sync_speed`);
  return { action, ...parseSyncCompleted(completed), rate: parseKibPerSecond(speed) };
}

/** `1024 / 200704` in sectors; `none` or `delayed` before it has begun. */
export function parseSyncCompleted(text: string): { done: number; total: number } {
  const match = /^(\d+) \/ (\d+)$/.exec(text.trim());
  const [done, total] = [Number(match?.[1] ?? 0) * SECTOR, Number(match?.[2] ?? 0) * SECTOR];
  return { done: Math.min(done, total), total };
}

/** Returns when all arrays are in sync, reporting how far they are. */
export async function waitForSync(
  system: System,
  arrays: readonly string[],
  { signal, report }: { readonly signal: AbortSignal; readonly report: ReportProgress },
): Promise<void> {
  for (;;) {
    const states = await Promise.all(
      arrays.map(async (array) => ({ array, sync: await readSync(system, array) })),
    );
    const busy = states.filter(({ sync }) => sync !== null);
    if (busy.length === 0) return;
    // One after the other where they share disks, so the times are added.
    let [done, total, remaining] = [0, 0, 0];
    for (const { sync } of busy) {
      done += sync?.done ?? 0;
      total += sync?.total ?? 0;
      const left = (sync?.total ?? 0) - (sync?.done ?? 0);
      remaining = sync?.rate === null || sync?.rate === undefined ? Number.NaN : remaining + left / sync.rate;
    }
    report({
      phase: busy.map(({ array, sync }) => `${array}: ${sync?.action}`).join(", "),
      ...{ done, total, unit: "bytes" },
      rate: busy[0]?.sync?.rate ?? null,
      remaining: Number.isFinite(remaining) ? Math.round(remaining) : null,
    });
    await system.clock.sleep(INTERVAL, signal);
  }
}

function parseKibPerSecond(text: string | null): number | null {
  const value = Number(text ?? "");
  return Number.isFinite(value) && value > 0 ? value * 1024 : null;
}
