// What one command does while it does it, for those who watch: its state, its progress, its log lines. Each watcher has a bounded
// queue of its own: one that reads slowly loses lines, is told how many, and holds up neither the command nor the agent's memory.

import type { Progress } from "../progress.ts";
import type { LogRecord } from "../system/log.ts";
import type { CommandResult } from "./command-result.ts";

export type CommandEvent =
  /** The command as the command list shows it: first of all events, and again when it has ended. */
  | { readonly type: "state"; readonly result: CommandResult }
  | { readonly type: "progress"; readonly progress: Progress }
  /** Redacted, like everything in the log. `sequence` counts the command's lines from 1 on. */
  | { readonly type: "log"; readonly record: LogRecord; readonly sequence: number }
  /** So many log lines were left out here, because they came faster than they were read. */
  | { readonly type: "skipped"; readonly lines: number };

/** Lines kept for those who come later, and for each who is slow. */
const KEPT_LINES = 200;
const WAITING_LINES = 1000;
/** Characters of a line; the log itself has all of it. */
const LONGEST_LINE = 4096;

type Line = { readonly record: LogRecord; readonly sequence: number };

export class CommandFeed {
  #state: CommandResult;
  readonly #followers = new Set<Follower>();
  /** The latest lines, oldest first. */
  #recent: Line[] = [];
  #lines = 0;

  constructor(state: CommandResult) {
    this.#state = state;
  }

  get ended(): boolean {
    return this.#state.command_status !== "RUNNING";
  }

  log(record: LogRecord): void {
    if (this.ended) return;
    const line = { record: shorten(record), sequence: ++this.#lines };
    this.#recent.push(line);
    if (this.#recent.length > KEPT_LINES) this.#recent.shift();
    for (const follower of this.#followers) follower.log(line);
  }

  progress(state: CommandResult): void {
    this.#state = state;
    for (const follower of this.#followers) follower.progress(state);
  }

  end(state: CommandResult): void {
    this.#state = state;
    for (const follower of this.#followers) follower.end(state);
  }

  /** The lines of a command that is history are in the log. */
  forgetLines(): void {
    this.#recent = [];
  }

  /**
   * The state, the latest lines (after number `after`), then everything that happens, up to the final state. Ends without it, and
   * without an error, when `signal` is aborted.
   */
  async *follow(signal: AbortSignal, after = 0): AsyncGenerator<CommandEvent, void, undefined> {
    const missed = this.#recent.filter(({ sequence }) => sequence > after);
    const follower = new Follower(this.#state, missed);
    this.#followers.add(follower);
    try {
      for (;;) {
        await follower.more(signal);
        if (signal.aborted) return;
        const { events, last } = follower.take();
        yield* events;
        if (last) return;
      }
    } finally {
      this.#followers.delete(follower);
    }
  }
}

/** One watcher. Only its latest progress and a limited number of lines wait for it. */
class Follower {
  #waiting: CommandEvent[] = [];
  #lines = 0;
  #skipped = 0;
  #final: CommandResult | null = null;
  #wake: () => void = () => undefined;

  constructor(state: CommandResult, recent: readonly Line[]) {
    const running = state.command_status === "RUNNING";
    if (running) this.#waiting.push({ type: "state", result: state });
    for (const line of recent) this.log(line);
    if (running) this.progress(state);
    else this.#final = state;
  }

  log(line: Line): void {
    if (this.#lines >= WAITING_LINES) this.#skipped++;
    else {
      this.#lines++;
      this.#waiting.push({ type: "log", ...line });
    }
    this.#wake();
  }

  progress({ command_progress: progress }: CommandResult): void {
    if (progress === undefined) return;
    this.#waiting = this.#waiting.filter(({ type }) => type !== "progress");
    this.#waiting.push({ type: "progress", progress });
    this.#wake();
  }

  end(state: CommandResult): void {
    this.#final = state;
    this.#wake();
  }

  /** All that waits; `last` when it ends with the final state. */
  take(): { events: CommandEvent[]; last: boolean } {
    const events = this.#waiting;
    if (this.#skipped > 0) events.push({ type: "skipped", lines: this.#skipped });
    if (this.#final !== null) events.push({ type: "state", result: this.#final });
    this.#waiting = [];
    this.#lines = 0;
    this.#skipped = 0;
    return { events, last: this.#final !== null };
  }

  /** Resolves when there is something to take, or `signal` is aborted. */
  more(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#waiting.length > 0 || this.#final !== null) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        signal.removeEventListener("abort", done);
        this.#wake = () => undefined;
        resolve();
      };
      this.#wake = done;
      signal.addEventListener("abort", done, { once: true });
    });
  }
}

/** What readers of a command's events get: not where in the program the line was written, and not all of a long one. */
function shorten({ place: _, ...record }: LogRecord): LogRecord {
  if (record.message.length <= LONGEST_LINE) return record;
  return { ...record, message: `${record.message.slice(0, LONGEST_LINE)}…` };
}
