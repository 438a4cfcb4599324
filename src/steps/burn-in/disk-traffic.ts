// How far fio is with disks that it goes over a number of times: it tells only a terminal, but the kernel counts what is read from
// each disk, and that is exactly its size in every round (measured: half of it in the first pass, the rest in the check).

import type { Progress } from "../../progress.ts";
import type { BurnInContext } from "./tool.ts";

/** The kernel counts in these, whatever the sectors of the disk are. */
const SECTOR = 512;
/** Place of the sectors read in `stat` of a block device. */
const SECTORS_READ = 2;
/** Seconds between reports. */
const INTERVAL = 5;

export class DiskTraffic {
  readonly #context: Pick<BurnInContext, "system" | "report">;
  readonly #devices: readonly string[];

  constructor(context: Pick<BurnInContext, "system" | "report">, devices: readonly string[]) {
    this.#context = context;
    this.#devices = devices;
  }

  /** Reports until `work` has ended; its result or error. */
  async reportWhile<T>(
    work: Promise<T>,
    plan: { readonly phase: string; readonly loops: number },
  ): Promise<T> {
    const ended = new AbortController();
    const reporting = this.#report(plan, ended.signal);
    try {
      return await work;
    } finally {
      ended.abort();
      await reporting;
    }
  }

  async #report(
    { phase, loops }: { readonly phase: string; readonly loops: number },
    ended: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#context.system;
    const started = clock.monotonic();
    const before = await this.#bytesRead();
    const total = loops * (await this.#size());
    while (!ended.aborted) {
      const done = Math.min(total, Math.max(0, (await this.#bytesRead()) - before));
      const elapsed = clock.monotonic() - started;
      const progress: Progress = {
        phase,
        done,
        total,
        unit: "bytes",
        rate: elapsed > 0 ? done / elapsed : null,
      };
      this.#context.report(progress);
      try {
        await clock.sleep(INTERVAL, ended);
      } catch {
        // The work has ended, which is the only reason for this sleep to be cut short.
      }
    }
  }

  #bytesRead(): Promise<number> {
    return this.#sum("stat", (stat) => Number(stat.trim().split(/\s+/)[SECTORS_READ]));
  }

  #size(): Promise<number> {
    return this.#sum("size", Number);
  }

  /** Bytes, from an attribute of each disk in sectors; a disk without it does not count. */
  async #sum(attribute: string, sectorsIn: (text: string) => number): Promise<number> {
    let sectors = 0;
    for (const device of this.#devices) {
      const name = device.slice("/dev/".length).replaceAll("/", "!");
      const text = await this.#context.system.files.readAttribute(`/sys/class/block/${name}/${attribute}`);
      const value = text === null ? 0 : sectorsIn(text);
      if (Number.isFinite(value)) sectors += value;
    }
    return sectors * SECTOR;
  }
}
