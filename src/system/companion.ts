// A second process of this same executable, with a channel for messages between the two: where code runs that must not be able to
// take the agent down, whatever it does. It costs some 12 MB of memory of its own, because the executable's pages are shared.

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export type CompanionOptions = {
  /** The arguments it is started with; the first tells main.ts what to be. */
  readonly argv: readonly string[];
  readonly onMessage: (message: unknown) => void;
  /** A line of what it prints, without its end, at most 8 KiB of it. */
  readonly onOutput: (line: string) => void;
  /** Called once; `ending` is `exit code 3` or `ended by SIGKILL`. No message comes after it. */
  readonly onEnd: (ending: string) => void;
};

export interface Companion {
  /** @throws Error if it has ended. The message must be something JSON can hold. */
  send(message: unknown): void;
  /** Closes the channel, which asks it to end; kills it, with all it has started, after `patience` seconds. Resolves when it is gone. */
  stop(patience: number): Promise<void>;
}

/** @throws Error if the executable cannot be started again */
export type StartCompanion = (options: CompanionOptions) => Companion;

const LONGEST_LINE = 8192;

export const realStartCompanion: StartCompanion = ({ argv, onMessage, onOutput, onEnd }) => {
  const child = Bun.spawn([...ownCommand(), ...argv], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: process.env,
    serialization: "json",
    ipc: onMessage,
    // A Ctrl-C on the terminal is for the agent, which then ends this one in its own order.
    detached: true,
  });
  const printed = Promise.all([readLines(child.stdout, onOutput), readLines(child.stderr, onOutput)]);
  const ended = child.exited.then(() => {
    onEnd(child.signalCode === null ? `exit code ${child.exitCode}` : `ended by ${child.signalCode}`);
  });
  return {
    send: (message) => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error("the process has ended");
      child.send(message);
    },
    async stop(patience) {
      if (child.exitCode === null && child.signalCode === null) child.disconnect();
      const timer = setTimeout(() => killTree(child.pid), patience * 1000);
      try {
        await ended;
      } finally {
        clearTimeout(timer);
      }
      // Its output may be held open by something it left behind; that is not waited for.
      await Promise.race([printed, Bun.sleep(100)]);
    },
  };
};

/** The other end: what the companion itself talks to its agent by. */
export type ParentChannel = {
  send(message: unknown): void;
  onMessage(listener: (message: unknown) => void): void;
  /** The agent is gone, or wants this process to end. */
  onClose(listener: () => void): void;
  /** Gets every error that nothing caught, instead of its ending the process. */
  onStray(listener: (error: unknown) => void): void;
  /** Ends this process. */
  exit(code: number): never;
};

/** @throws Error if this process was not started as a companion */
export function parentChannel(): ParentChannel {
  const send = process.send?.bind(process);
  if (send === undefined) throw new Error("this is for the agent itself: it starts it for a plug-in");
  // The agent ends it by closing the channel; a plug-in must not be cut off by what a terminal or a service manager sends.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
  return {
    send: (message) => void send(message),
    onMessage: (listener) => void process.on("message", listener),
    onClose: (listener) => void process.on("disconnect", listener),
    onStray(listener) {
      process.on("unhandledRejection", listener);
      process.on("uncaughtException", listener);
    },
    exit: (code) => process.exit(code),
  };
}

/** How this program is started: the executable alone, or the runtime and the source it runs from. */
export function ownCommand(): string[] {
  const compiled = import.meta.url.includes("/$bunfs/");
  return compiled
    ? [process.execPath]
    : [process.execPath, fileURLToPath(new URL("../main.ts", import.meta.url))];
}

/** SIGKILL to a process and to everything below it; programs it runs have process groups of their own. */
function killTree(root: number): void {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    const parent = parentOf(Number(name));
    if (parent !== null) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const doomed = [root];
  for (const pid of doomed) doomed.push(...(children.get(pid) ?? []));
  for (const pid of doomed) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      // Gone already, which is what was wanted.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

function parentOf(pid: number): number | null {
  try {
    // The name in the second field may hold anything, so fields are counted from its closing parenthesis.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return null; // it ended while the list was read
  }
}

async function readLines(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = (lines.pop() ?? "").slice(0, LONGEST_LINE);
    for (const line of lines) if (line !== "") onLine(line.slice(0, LONGEST_LINE));
  }
  if (rest !== "") onLine(rest);
}
