// The phases of a run as people see them: on a terminal one live line for the phase under way, in a pipe plain lines
// that a log can keep. What conducts the deployment only says what begins, how far it is and that it ended.

/** How far a phase is; the same shape as an agent's command_progress. */
export interface PhaseProgress {
  phase: string;
  done: number | null;
  total: number | null;
  unit: string;
  rate: number | null;
}

export interface PhaseResult {
  name: string;
  seconds: number;
  detail: string;
}

/** Where the lines go; process.stdout is one. */
export interface Screen {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

const SPINNER = ["|", "/", "-", "\\"];
const REDRAW_MS = 120;
/** In a pipe at most one line of progress in this time. */
const PLAIN_INTERVAL_MS = 5000;
const NAME_WIDTH = 22;

export class Phases {
  /** The phases that have ended well, in order. */
  readonly results: PhaseResult[] = [];
  readonly #screen: Screen;
  readonly #live: boolean;
  #current: { name: string; startedAt: number; text: string; lastLineAt: number } | null = null;
  #redraw: ReturnType<typeof setInterval> | undefined;
  #frame = 0;

  constructor(screen: Screen) {
    this.#screen = screen;
    this.#live = screen.isTTY === true;
  }

  get current(): string | null {
    return this.#current?.name ?? null;
  }

  /** Begins a phase; one that is under way has ended with that. */
  begin(name: string): void {
    this.end();
    const now = performance.now();
    this.#current = { name, startedAt: now, text: "", lastLineAt: now };
    if (this.#live) {
      this.#redraw = setInterval(() => this.#draw(), REDRAW_MS);
      this.#draw();
    } else {
      this.#screen.write(`${name} …\n`);
    }
  }

  /** Says how far the phase under way is: a report of an agent, or words. */
  progress(progress: PhaseProgress | string): void {
    const { fraction, text } =
      typeof progress === "string" ? { fraction: null, text: progress } : described(progress);
    const shown = fraction === null ? text : `${bar(fraction)} ${text}`;
    const current = this.#current;
    if (current === null || shown === current.text) return;
    current.text = shown;
    const now = performance.now();
    if (this.#live || now - current.lastLineAt < PLAIN_INTERVAL_MS) return;
    current.lastLineAt = now;
    this.#screen.write(`  ${current.name}: ${text} (${elapsed(current.startedAt)})\n`);
  }

  /** Ends the phase under way, if any. */
  end(detail = ""): void {
    const current = this.#current;
    if (current === null) return;
    this.#stop();
    const seconds = (performance.now() - current.startedAt) / 1000;
    this.results.push({ name: current.name, seconds, detail });
    const time = `${seconds.toFixed(1)} s`;
    this.#screen.write(
      this.#live
        ? `  ${current.name.padEnd(NAME_WIDTH)} ${time.padStart(8)}  ${detail}`.trimEnd().concat("\n")
        : `${current.name}: done in ${time}${detail === "" ? "" : ` (${detail})`}\n`,
    );
  }

  /** Ends the phase under way without success; its name, or null when none was under way. */
  fail(verdict = "FAILED"): string | null {
    const current = this.#current;
    if (current === null) return null;
    this.#stop();
    const time = elapsed(current.startedAt);
    this.#screen.write(
      this.#live
        ? `  ${current.name.padEnd(NAME_WIDTH)} ${time.padStart(8)}  ${verdict}\n`
        : `${current.name}: ${verdict} after ${time}\n`,
    );
    return current.name;
  }

  /** A line that stays, without disturbing the live one. */
  note(text: string): void {
    if (this.#live) this.#clear();
    this.#screen.write(`  ${text}\n`);
    this.#draw();
  }

  #stop(): void {
    clearInterval(this.#redraw);
    if (this.#live) this.#clear();
    this.#current = null;
  }

  #clear(): void {
    this.#screen.write("\r\x1b[K");
  }

  #draw(): void {
    const current = this.#current;
    if (!this.#live || current === null) return;
    const spinner = SPINNER[this.#frame++ % SPINNER.length];
    const time = elapsed(current.startedAt).padStart(8);
    const line = `${spinner} ${current.name.padEnd(NAME_WIDTH)} ${time}  ${current.text}`;
    // A line that wraps cannot be drawn over.
    this.#screen.write(`\r\x1b[K${line.slice(0, (this.#screen.columns ?? 80) - 1)}`);
  }
}

function elapsed(startedAt: number): string {
  return `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
}

function bar(fraction: number): string {
  const width = 20;
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * width);
  return `[${"#".repeat(full)}${".".repeat(width - full)}]`;
}

function described(progress: PhaseProgress): { fraction: number | null; text: string } {
  const { phase, done, total, unit, rate } = progress;
  const known = done !== null && total !== null && total > 0;
  const parts = [phase];
  if (known) parts.push(`${Math.floor((100 * done) / total)} %`);
  if (done !== null) {
    parts.push(known ? `${amount(done, unit)} of ${amount(total, unit)}` : amount(done, unit));
  }
  if (rate !== null && rate > 0) parts.push(`${amount(rate, unit)}/s`);
  return { fraction: known ? done / total : null, text: parts.join(", ") };
}

/** "12.3 MiB" for bytes, "12 unit" for anything else. */
export function amount(value: number, unit: string): string {
  if (unit !== "bytes") return `${Math.round(value)} ${unit}`.trimEnd();
  const mebibytes = value / 1024 ** 2;
  return `${mebibytes.toFixed(mebibytes < 100 ? 1 : 0)} MiB`;
}
