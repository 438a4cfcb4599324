// Running external programs: the only place that starts a child process.
// Every child gets a fixed environment, no terminal, a process group of its own, a time limit and bounded output, so that a
// hanging or chatty tool can neither stop the agent nor fill its memory, and parsed output never depends on
// how the agent was started.

import type { Clock } from "./clock.ts";
import { missingInterpreter } from "./interpreter.ts";
import type { Logger } from "./log.ts";
import { printable } from "./printable.ts";

/** What a program left behind. Output is UTF-8 with replacement; each stream keeps its last `maxOutput` bytes. */
export type ProgramResult = {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
};

export type RunOptions = {
  /** Exit codes that count as success; default [0]. */
  readonly allowedExitCodes?: readonly number[];
  /** Seconds until SIGTERM, then SIGKILL; default 60. Pass `Infinity` only together with a signal. */
  readonly timeout?: number;
  /** Ends the child and its group when aborted. */
  readonly signal?: AbortSignal;
  /** Bytes kept per stream (the tail); default 1 MiB. */
  readonly maxOutput?: number;
  /** Variables added to the fixed minimal environment (PATH, LC_ALL=C, LANG=C, HOME). */
  readonly environment?: Readonly<Record<string, string>>;
  /** Where the child is started; default: where the agent was. */
  readonly directory?: string;
  /** Text for the child's standard input; default: /dev/null. */
  readonly input?: string;
  /** Runs in all (first try included) when it fails or is missing; random 0.2–2 s between; default 1. */
  readonly attempts?: number;
  /** What errors and the log call it, where the words before the program are ours and many; default: the whole command line. */
  readonly shownAs?: readonly string[];
  /** Called with each chunk of standard output as it comes (for progress of long tools). */
  readonly onOutput?: (text: string) => void;
  /** The same for standard error, where shred and others show how far they are. */
  readonly onErrorOutput?: (text: string) => void;
};

/**
 * Runs `argv` without a shell.
 * @throws ProgramMissingError if it cannot be started, ProgramFailedError on a bad status, a signal or the time limit.
 */
export type RunProgram = (argv: readonly string[], options?: RunOptions) => Promise<ProgramResult>;

/** The program is not installed, or cannot be executed. */
export class ProgramMissingError extends Error {
  readonly program: string;

  constructor(program: string, reason: string) {
    super(`cannot run ${program}: ${reason}`);
    this.program = program;
  }
}

/** The program ran and failed. The message quotes the command line and the last lines of its output. */
export class ProgramFailedError extends Error {
  readonly argv: readonly string[];
  /** How it ended, in words: "exit code 1", "gave up after 60 s and ended it". */
  readonly ending: string;
  /** Null when a signal or the time limit ended it. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;

  constructor(
    argv: readonly string[],
    ending: string,
    exitCode: number | null,
    stdout: string,
    stderr: string,
  ) {
    const quoted = lastLines(stderr.trim() === "" ? stdout : stderr);
    super(`${argv.join(" ")}: ${ending}${quoted === "" ? "" : `: ${quoted}`}`);
    this.argv = argv;
    this.ending = ending;
    this.exitCode = exitCode;
    this.stdout = stdout;
    this.stderr = stderr;
  }
}

/** The last lines of a tool's output as one line, for errors: printable, whatever it was. */
export function lastLines(output: string, count = 5): string {
  return printable(output)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .slice(-count)
    .join(" | ");
}

const SAFE_ENVIRONMENT = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C",
  LANG: "C",
  HOME: "/root",
};
const DEFAULT_TIMEOUT = 60;
const DEFAULT_MAX_OUTPUT = 1024 * 1024;
/** Seconds between SIGTERM and SIGKILL; less when the agent itself is to end, which has 5 s for everything. */
const KILL_GRACE = 5;
const ABORT_GRACE = 2;
/** Seconds after SIGKILL in which a child ends, unless it waits for a device that does not answer. */
const DEATH_GRACE = 1;

/** The real `run`: children of this process. */
export function createRun(clock: Clock, log: Logger): RunProgram {
  const living = new LivingGroups();
  return async (argv, options = {}) => {
    const attempts = Math.max(1, options.attempts ?? 1);
    for (let attempt = 1; ; attempt++) {
      try {
        return await runOnce(argv, options, { clock, log, living });
      } catch (error) {
        if (attempt >= attempts || options.signal?.aborted) throw error;
        await clock.sleep(clock.uniform(0.2, 2), options.signal);
      }
    }
  };
}

async function runOnce(
  argv: readonly string[],
  options: RunOptions,
  { clock, log, living }: { readonly clock: Clock; readonly log: Logger; readonly living: LivingGroups },
): Promise<ProgramResult> {
  options.signal?.throwIfAborted();
  const started = clock.monotonic();
  const shown = options.shownAs ?? argv;
  const timeout = options.timeout ?? DEFAULT_TIMEOUT;
  const child = start(argv, options);
  living.add(child.pid);
  const stop = new GroupStopper(child);
  const onAbort = () => stop.begin(ABORT_GRACE);
  options.signal?.addEventListener("abort", onAbort, { once: true });
  let timedOut = false;
  const timer = Number.isFinite(timeout)
    ? setTimeout(() => {
        timedOut = true;
        stop.begin(KILL_GRACE);
      }, timeout * 1000)
    : undefined;
  try {
    const limit = options.maxOutput ?? DEFAULT_MAX_OUTPUT;
    const [stdout, stderr] = await Promise.all([
      readTail(child.stdout, limit, stop.dead, options.onOutput),
      readTail(child.stderr, limit, stop.dead, options.onErrorOutput),
      Promise.race([child.exited, stop.abandoned]),
    ]);
    log.debug(`ran ${shown.join(" ")}: ${ending(child)} after ${(clock.monotonic() - started).toFixed(3)} s`);
    options.signal?.throwIfAborted();
    if (timedOut) {
      const fate = hasEnded(child) ? "ended it" : "left it behind, because not even SIGKILL ends it";
      throw new ProgramFailedError(shown, `gave up after ${timeout} s and ${fate}`, null, stdout, stderr);
    }
    const exitCode = child.exitCode;
    if (exitCode === null || !(options.allowedExitCodes ?? [0]).includes(exitCode))
      throw new ProgramFailedError(shown, ending(child), exitCode, stdout, stderr);
    return { exitCode, stdout, stderr };
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", onAbort);
    stop.end();
    living.delete(child.pid);
  }
}

/** Path of a program as `run` would find it, null if it is not installed or may not be executed. */
export type FindProgram = (program: string) => string | null;

export const realFindProgram: FindProgram = (program) => Bun.which(program, { PATH: SAFE_ENVIRONMENT.PATH });

type Child = Bun.Subprocess<"ignore" | Uint8Array, "pipe", "pipe">;

function start(argv: readonly string[], options: RunOptions): Child {
  const program = argv[0] ?? "";
  // Looked up here, in the child's fixed PATH, because Bun would search the agent's own.
  const executable = realFindProgram(program);
  if (executable === null) throw new ProgramMissingError(program, "not found in PATH");
  try {
    return Bun.spawn([executable, ...argv.slice(1)], {
      stdin: options.input === undefined ? "ignore" : new TextEncoder().encode(options.input),
      stdout: "pipe",
      stderr: "pipe",
      env: { ...SAFE_ENVIRONMENT, ...options.environment },
      ...(options.directory === undefined ? {} : { cwd: options.directory }),
      detached: true,
    });
  } catch (error) {
    const interpreter = missingInterpreter(executable);
    const reason = error instanceof Error ? error.message : String(error);
    throw new ProgramMissingError(
      program,
      interpreter === null
        ? reason
        : `its interpreter ${printable(interpreter)} is not there or may not be executed (${reason})`,
    );
  }
}

function hasEnded(child: Child): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function ending(child: Child): string {
  return child.signalCode === null ? `exit code ${child.exitCode}` : `ended by ${child.signalCode}`;
}

/**
 * The process groups of the children that run. They are groups of their own, so nothing else would end those that are still there
 * when the process ends: ones nobody waits for any more, or that took longer than an agent has to stop.
 */
class LivingGroups {
  readonly #groups = new Set<number>();
  readonly #endAll = () => {
    for (const group of this.#groups) signalGroup(group, "SIGKILL");
  };

  add(group: number): void {
    if (this.#groups.size === 0) process.on("exit", this.#endAll);
    this.#groups.add(group);
  }

  delete(group: number): void {
    this.#groups.delete(group);
    if (this.#groups.size === 0) process.off("exit", this.#endAll);
  }
}

/** Ends a child together with what it started: SIGTERM to the group, SIGKILL after a grace. */
class GroupStopper {
  readonly #child: Child;
  #timer: Timer | undefined;
  readonly #killed = Promise.withResolvers<void>();
  /** Resolves once SIGKILL was sent: whoever still holds the pipes open after that is not waited for. */
  readonly dead = this.#killed.promise;
  readonly #gaveUp = Promise.withResolvers<void>();
  /** Resolves when the child should have been dead for a while. */
  readonly abandoned = this.#gaveUp.promise;

  constructor(child: Child) {
    this.#child = child;
  }

  /** `grace`: seconds until SIGKILL. */
  begin(grace: number): void {
    if (this.#timer !== undefined) return;
    this.#signal("SIGTERM");
    this.#timer = setTimeout(() => {
      this.#signal("SIGKILL");
      this.#killed.resolve();
      this.#timer = setTimeout(() => this.#gaveUp.resolve(), DEATH_GRACE * 1000);
    }, grace * 1000);
  }

  /** The child is gone; what it started and left behind goes too, if they were to be ended. */
  end(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#signal("SIGKILL");
  }

  #signal(name: NodeJS.Signals): void {
    signalGroup(this.#child.pid, name);
  }
}

function signalGroup(group: number, name: NodeJS.Signals): void {
  try {
    process.kill(-group, name);
  } catch (error) {
    // The group is gone already, which is what was wanted; anything else is a real fault.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Reads a pipe to its end and keeps the last `limit` bytes. */
async function readTail(
  stream: ReadableStream<Uint8Array>,
  limit: number,
  dead: Promise<void>,
  onText?: (text: string) => void,
): Promise<string> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  const kept: Uint8Array[] = [];
  let size = 0;
  // Ends a read that waits. A race of every read against `dead` would keep all that was ever read, until the program ends.
  dead.then(() => reader.cancel()).catch(() => undefined); // it failed by itself: then the read says so
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    onText?.(decoder.decode(value, { stream: true }));
    kept.push(value);
    size += value.length;
    for (let first = kept[0]; first !== undefined && size - first.length >= limit; first = kept[0]) {
      size -= first.length;
      kept.shift();
    }
  }
  const bytes = Buffer.concat(kept);
  return bytes.subarray(Math.max(0, bytes.length - limit)).toString("utf8");
}
