// Child processes of the rig: one way to run a program to its end and one to keep it running beside us. Output is
// bounded or goes to a log file, every run has a time limit, a failure quotes the last lines, and only processes
// that were started here are ever signalled, by their pid.

import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname } from "node:path";

const LARGEST_OUTPUT = 16 * 1024 * 1024;
const QUOTED_LINES = 15;
/** How long a program that runs beside us may take to end when it is told to. */
const GRACE_MS = 5000;

/** A program that failed, was stopped or overran its time: what was called, why, and its last lines. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";
  readonly argv: readonly string[];
  readonly reason: string;
  readonly tail: string;

  constructor(argv: readonly string[], reason: string, output: string, options: RunOptions = {}) {
    const { name = argv[0], logFile } = options;
    const tail = lastLines(output, QUOTED_LINES);
    const parts = [`${name} ${reason}`, `  command: ${argv.join(" ").slice(0, 600)}`];
    if (tail !== "") parts.push(tail.replace(/^/gm, "  | "));
    if (logFile !== undefined) parts.push(`  full log: ${logFile}`);
    super(parts.join("\n"));
    this.argv = argv;
    this.reason = reason;
    this.tail = tail;
  }
}

export interface RunOptions {
  /** What errors call it, where the program only wraps another. */
  name?: string;
  cwd?: string;
  /** Added to the environment of this process. */
  env?: Record<string, string>;
  input?: string | Uint8Array<ArrayBuffer>;
  /** Time limit in milliseconds; ten minutes unless said otherwise. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Standard output and standard error go to this file, appended, and `stdout` in the result is empty. */
  logFile?: string;
}

export interface RunResult {
  stdout: string;
  stderr: string;
}

/** Runs a program to its end. Throws ProgramError unless it exits 0. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const timeoutMs = options.timeoutMs ?? 600_000;
  const deadline = AbortSignal.timeout(timeoutMs);
  const stop = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);
  const log = options.logFile === undefined ? undefined : openLog(options.logFile);
  try {
    const child = spawn(argv, options, log, options.input === undefined ? "ignore" : "pipe");
    const end = () => child.kill("SIGKILL");
    if (stop.aborted) end();
    stop.addEventListener("abort", end, { once: true });
    try {
      if (options.input !== undefined && typeof child.stdin === "object") {
        child.stdin.write(options.input);
        await child.stdin.end();
      }
      const [stdout, stderr, code] = await Promise.all([
        collect(child.stdout),
        collect(child.stderr),
        child.exited,
      ]);
      if (code === 0 && !stop.aborted) return { stdout, stderr };
      const output =
        options.logFile === undefined ? `${stdout}\n${stderr}` : readFileSync(options.logFile, "utf8");
      throw new ProgramError(argv, reasonOf(child, deadline, options.signal, timeoutMs), output, options);
    } finally {
      stop.removeEventListener("abort", end);
    }
  } finally {
    if (log !== undefined) closeSync(log);
  }
}

/** A program that runs beside the rig until it is stopped or ends by itself. */
export interface RunningProgram extends AsyncDisposable {
  readonly pid: number;
  readonly running: boolean;
  /** Settles with the exit code, or 128 plus the signal's number; never rejects. */
  readonly exited: Promise<number>;
  /** SIGTERM, and SIGKILL when it is still there after `graceMs`. */
  stop(graceMs?: number): Promise<void>;
}

export interface StartOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** Everything the program prints is appended here. */
  logFile: string;
}

/**
 * Starts a program that dies with this process, however this process ends (the kernel's parent death signal).
 * The pid is the program's own: setpriv(1) replaces itself by it.
 */
export function start(argv: readonly string[], options: StartOptions): RunningProgram {
  const log = openLog(options.logFile);
  try {
    const child = spawn(["setpriv", "--pdeathsig", "KILL", ...argv], options, log, "ignore");
    const stop = async (graceMs = GRACE_MS) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
      await child.exited;
      clearTimeout(timer);
    };
    return {
      pid: child.pid,
      exited: child.exited,
      get running() {
        return child.exitCode === null && child.signalCode === null;
      },
      stop,
      [Symbol.asyncDispose]: () => stop(),
    };
  } finally {
    closeSync(log);
  }
}

/** The last `count` lines that are not empty, for an error message. */
export function lastLines(text: string, count: number): string {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  return lines.slice(-count).join("\n");
}

function openLog(file: string): number {
  mkdirSync(dirname(file), { recursive: true });
  return openSync(file, "a");
}

function spawn(
  argv: readonly string[],
  options: RunOptions | StartOptions,
  log: number | undefined,
  stdin: "ignore" | "pipe",
) {
  try {
    return Bun.spawn([...argv], {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, ...options.env },
      stdin,
      stdout: log ?? "pipe",
      stderr: log ?? "pipe",
    });
  } catch (error) {
    throw new ProgramError(argv, `could not be started: ${(error as Error).message}`, "");
  }
}

async function collect(stream: ReadableStream<Uint8Array> | number | undefined): Promise<string> {
  if (!(stream instanceof ReadableStream)) return "";
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    // What a program says at its end matters more than what it said at first.
    if (text.length > LARGEST_OUTPUT) text = text.slice(-LARGEST_OUTPUT / 2);
  }
  return text + decoder.decode();
}

function reasonOf(
  child: { exitCode: number | null; signalCode: NodeJS.Signals | number | null },
  deadline: AbortSignal,
  cancelled: AbortSignal | undefined,
  timeoutMs: number,
): string {
  if (cancelled?.aborted === true) return "was cancelled";
  if (deadline.aborted) return `did not end within ${timeoutMs / 1000} s`;
  return child.signalCode === null
    ? `failed with exit code ${child.exitCode}`
    : `was ended by ${child.signalCode}`;
}

/** Whether a process with this pid runs; one that has ended and only waits for its parent to notice does not. */
export function isAlive(pid: number): boolean {
  const fields = processStatus(pid);
  return fields !== undefined && fields[0] !== "Z";
}

/** /proc/PID/stat from the third field on: state, parent, group, session, terminal, foreground group, … */
export function processStatus(pid: number): string[] | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    // There is no such process.
    return undefined;
  }
  // The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}
