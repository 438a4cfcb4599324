// One progress report out of those of several disks that are erased at the same time, and the time that is left for all of them.
// Counted in bytes of disk, because disks differ in size; each disk's own report only says which part of it is done.

import type { Progress, ReportProgress } from "../progress.ts";
import type { Clock } from "../system/clock.ts";

type State = {
  readonly name: string;
  readonly size: number;
  startedAt: number | null;
  /** Between 0 and 1. */
  fraction: number;
  /** Seconds, as the disk's own report said. */
  announced: number | null;
  phase: string;
  ended: boolean;
};

export class EraseProgress {
  readonly #clock: Clock;
  readonly #report: ReportProgress;
  readonly #workers: number;
  readonly #disks: State[];

  /** `workers` disks are erased at a time; sizes are bytes. */
  constructor(
    disks: readonly { readonly name: string; readonly size: number }[],
    { clock, report, workers }: { clock: Clock; report: ReportProgress; workers: number },
  ) {
    this.#clock = clock;
    this.#report = report;
    this.#workers = workers;
    this.#disks = disks.map(({ name, size }) => ({
      ...{ name, size, startedAt: null, fraction: 0, announced: null, phase: "", ended: false },
    }));
  }

  /** Begins disk `index`; the function takes its reports. */
  begin(index: number): ReportProgress {
    const disk = this.#disks[index];
    if (disk === undefined) throw new RangeError(`there is no disk ${index}`);
    disk.startedAt = this.#clock.monotonic();
    this.#publish();
    return ({ phase, done, total, remaining }: Progress) => {
      if (disk.ended) return;
      disk.phase = phase;
      disk.announced = remaining ?? null;
      if (done !== null && total !== null && total > 0)
        disk.fraction = Math.min(1, Math.max(0, done / total));
      this.#publish();
    };
  }

  /** Well or not. */
  end(index: number): void {
    const disk = this.#disks[index];
    if (disk === undefined) throw new RangeError(`there is no disk ${index}`);
    disk.ended = true;
    disk.fraction = 1;
    this.#publish();
  }

  #publish(): void {
    const running = this.#disks.filter(({ startedAt, ended }) => startedAt !== null && !ended);
    const ended = this.#disks.filter((disk) => disk.ended).length;
    const names = running.map(({ name, phase }) => (phase === "" ? name : `${name} (${phase})`));
    this.#report({
      phase: `erasing disks, ${ended} of ${this.#disks.length} done${names.length > 0 ? `: ${names.join(", ")}` : ""}`,
      done: Math.floor(this.#disks.reduce((sum, { size, fraction }) => sum + size * fraction, 0)),
      total: this.#disks.reduce((sum, { size }) => sum + size, 0),
      unit: "bytes",
      rate: null,
      remaining: this.#remaining(),
    });
  }

  /** Null until every running disk has shown how fast it is. */
  #remaining(): number | null {
    const now = this.#clock.monotonic();
    let longest = 0;
    let sum = 0;
    let [secondsSpent, bytesDone] = [0, 0];
    for (const { startedAt, ended, fraction, announced, size } of this.#disks) {
      if (startedAt === null || ended) continue;
      const elapsed = now - startedAt;
      const left = announced ?? (fraction > 0 && elapsed > 0 ? (elapsed * (1 - fraction)) / fraction : null);
      if (left === null) return null;
      longest = Math.max(longest, left);
      sum += left;
      secondsSpent += elapsed + left;
      bytesDone += size;
    }
    const waiting = this.#disks.filter(({ startedAt }) => startedAt === null);
    const waitingBytes = waiting.reduce((bytes, { size }) => bytes + size, 0);
    if (waitingBytes > 0 && bytesDone === 0) return null;
    // Those that wait are taken to be as fast as those that run.
    if (waitingBytes > 0) sum += (waitingBytes * secondsSpent) / bytesDone;
    return Math.round(Math.max(longest, sum / this.#workers));
  }
}
