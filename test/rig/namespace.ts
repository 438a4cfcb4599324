// A network namespace per run, which nothing leaves. Whoever listens or connects there must be inside; so a program
// that uses the rig runs itself again inside the namespace, and the outer half takes the namespace down when the inner
// one has ended, however it ended. The namespace's name holds the outer process's pid and start time: what a killed run
// left behind is told apart from what another run is using at this moment.

import { existsSync, readdirSync } from "node:fs";
import { processStatus, run } from "./programs.ts";

const PREFIX = "ironic-rig";
const NAME = new RegExp(`^${PREFIX}-(\\d+)-(\\d+)$`);
const ENVIRONMENT = "IRONIC_RIG_NAMESPACE";
const NAMESPACES = "/run/netns";
const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Call it first in a program that listens or connects inside the rig's network. In the outer process it makes a
 * namespace, runs the same program again inside it (terminal, arguments and environment kept, signals forwarded), takes
 * the namespace down and ends the process with that program's exit code. Inside it returns the namespace's name.
 */
export async function enterNamespace(): Promise<string> {
  const inside = process.env[ENVIRONMENT];
  if (inside !== undefined) return inside;
  await cleanupStale();
  const name = `${PREFIX}-${process.pid}-${startTime(process.pid)}`;
  await run(["ip", "netns", "add", name]);
  let code: number;
  try {
    code = await runInside(name, [process.execPath, ...process.execArgv, ...process.argv.slice(1)]);
  } finally {
    await remove(name);
  }
  process.exit(code);
}

/** Removes namespaces of runs whose process is gone; returns their names. enterNamespace() calls it by itself. */
export async function cleanupStale(): Promise<string[]> {
  const stale = (existsSync(NAMESPACES) ? readdirSync(NAMESPACES) : []).filter((name) => {
    const match = NAME.exec(name);
    return match !== null && startTime(Number(match[1])) !== match[2];
  });
  for (const name of stale) await remove(name);
  return stale;
}

/** Throws unless this process runs inside a namespace of enterNamespace(). */
export async function assertInsideNamespace(): Promise<void> {
  const name = process.env[ENVIRONMENT];
  const { stdout } = await run(["ip", "netns", "identify", String(process.pid)]);
  if (name === undefined || !stdout.split("\n").includes(name)) {
    throw new Error("the rig's network needs a namespace of its own: call enterNamespace() first");
  }
}

/** The same command, run in the network of the outer process: how packages are fetched from inside the namespace. */
export function outsideNamespace(argv: readonly string[]): string[] {
  const outer = NAME.exec(process.env[ENVIRONMENT] ?? "")?.[1];
  return outer === undefined ? [...argv] : ["nsenter", "--target", outer, "--net", ...argv];
}

async function runInside(name: string, argv: readonly string[]): Promise<number> {
  // Without this process nobody would take the namespace down, so the inner one must not outlive it.
  const child = Bun.spawn(["setpriv", "--pdeathsig", "TERM", "ip", "netns", "exec", name, ...argv], {
    env: { ...process.env, [ENVIRONMENT]: name },
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  });
  const forward = (signal: NodeJS.Signals) => {
    // Ctrl-C on a terminal reaches the inner process by itself.
    if (signal === "SIGINT" && isForeground()) return;
    child.kill(signal);
  };
  for (const signal of FORWARDED) process.on(signal, forward);
  const code = await child.exited;
  for (const signal of FORWARDED) process.off(signal, forward);
  return code;
}

/** Takes a namespace down with everything that still runs in it: all of it was started by the rig. */
async function remove(name: string): Promise<void> {
  try {
    const { stdout } = await run(["ip", "netns", "pids", name]);
    for (const pid of stdout.trim().split("\n").filter(Boolean)) kill(Number(pid));
    await run(["ip", "netns", "delete", name]);
  } catch (error) {
    // Another run may be removing what a third one has left behind.
    if (existsSync(`${NAMESPACES}/${name}`)) throw error;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself between the listing and the signal.
  }
}

/** When a process was started, in clock ticks since boot; undefined when there is no such process. */
function startTime(pid: number): string | undefined {
  return processStatus(pid)?.[19];
}

/** Whether this process belongs to the foreground job of a terminal, whose Ctrl-C goes to all of the job. */
function isForeground(): boolean {
  const fields = processStatus(process.pid);
  const [, , group, , terminal, foregroundGroup] = fields ?? [];
  return terminal !== "0" && group === foregroundGroup;
}
