// npm run test:interrupt: Ctrl-C on a terminal in the middle of a deployment, for the demo and for a scenario. The whole
// command runs on a terminal of its own, as a person's shell would start it; afterwards nothing of it may be left. Nobody
// else may run either in the same checkout meanwhile.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { lastLines, run } from "../rig/programs.ts";

const ROOT = resolve(import.meta.dir, "../..");
const CACHE = join(ROOT, ".cache");
const RUN_DIRECTORIES = ["demo", "ironic"];
const NAMESPACES = "/run/netns";
const INTERRUPTED = 130;
const CTRL_C = "\x03";
/** In the environment of everything that the command starts. */
const MARK = "IRONIC_RIG_INTERRUPTION";
/** Building the ramdisk and the image may come first. */
const REACHED_TIMEOUT_MS = 1_800_000;
const ENDED_TIMEOUT_MS = 120_000;
const TAIL_LINES = 25;

const COMMANDS = [
  { argv: ["npm", "run", "demo", "--", "--ironic"], at: "write image" },
  { argv: ["npm", "run", "test:ironic", "--", "deploy-uefi-raw-virtio"], at: "write image …" },
];

/** Throws with what was seen, when the command does not end with 130 or something is left of it. */
async function interrupt(argv: readonly string[], at: string): Promise<string> {
  const before = traces();
  const mark = crypto.randomUUID();
  const reached = Promise.withResolvers<void>();
  let output = "";
  const child = Bun.spawn([...argv], {
    cwd: ROOT,
    env: { ...process.env, [MARK]: mark },
    terminal: {
      cols: 120,
      rows: 40,
      data: (_, data) => {
        output += new TextDecoder().decode(data);
        if (output.includes(at)) reached.resolve();
      },
    },
  });
  const ended = (reason: string) =>
    new Error(`${reason}\n${lastLines(output.replaceAll("\r", "\n"), TAIL_LINES)}`);
  await Promise.race([
    reached.promise,
    child.exited.then((code) => reached.reject(ended(`ended with ${code} before it came to "${at}"`))),
    timeout(REACHED_TIMEOUT_MS, () => ended(`did not come to "${at}"`)),
  ]);
  const started = performance.now();
  child.terminal?.write(CTRL_C);
  const code = await Promise.race([
    child.exited,
    timeout(ENDED_TIMEOUT_MS, () => ended("did not end after Ctrl-C")),
  ]);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  child.terminal?.close();
  if (code !== INTERRUPTED) throw ended(`ended with ${code}, not ${INTERRUPTED}`);
  const left = [...processesWith(mark), ...(await afterwards(before))];
  if (left.length > 0) throw ended(`left behind:\n  ${left.join("\n  ")}\nIts last lines:`);
  return seconds;
}

/** What a run leaves on this machine while it lasts. */
function traces(): Set<string> {
  const names = (directory: string) => (existsSync(directory) ? readdirSync(directory) : []);
  return new Set([
    ...names(NAMESPACES)
      .filter((name) => name.startsWith("ironic-rig-"))
      .map((name) => `namespace ${name}`),
    ...RUN_DIRECTORIES.flatMap((kind) => names(join(CACHE, kind)).map((name) => `directory ${kind}/${name}`)),
    ...names(join(CACHE, "rig"))
      .filter((name) => name.startsWith("building-"))
      .map((name) => `directory ${name}`),
    ...readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes(CACHE))
      .map((line) => `mount ${line}`),
  ]);
}

async function afterwards(before: ReadonlySet<string>): Promise<string[]> {
  const { stdout } = await run(["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"]);
  const loops = stdout
    .split("\n")
    .filter((line) => line.includes(CACHE))
    .map((line) => `loop device ${line}`);
  return [...[...traces()].filter((trace) => !before.has(trace)), ...loops];
}

function processesWith(mark: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => environment(pid).includes(mark))
    .map(
      (pid) =>
        `process ${pid}: ${readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").slice(0, 200)}`,
    );
}

function environment(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8");
  } catch {
    // It has ended meanwhile.
    return "";
  }
}

function timeout(milliseconds: number, error: () => Error): Promise<never> {
  return Bun.sleep(milliseconds).then(() => {
    throw error();
  });
}

let failed = false;
for (const { argv, at } of COMMANDS) {
  const command = argv.join(" ");
  try {
    const seconds = await interrupt(argv, at);
    console.log(
      `${command}: interrupted at "${at}", ended with ${INTERRUPTED} after ${seconds} s, nothing left`,
    );
  } catch (error) {
    failed = true;
    console.error(`${command}: ${error instanceof Error ? error.message : error}`);
  }
}
process.exit(failed ? 1 : 0);
