// The executable that goes into the ramdisk: one that was named, or one that is built now, of the sources as they are or of
// another commit. Checked here, because an agent for another processor is found out minutes after the machine was booted.

import { mkdir, open } from "node:fs/promises";
import { join, resolve } from "node:path";
import { run } from "../../test/rig/programs.ts";
import { BuildError } from "./error.ts";
import type { Architecture, ImageOptions } from "./options.ts";

const ROOT = resolve(import.meta.dir, "../..");
/** Target of build.ts, and the machine number at byte 18 of an ELF file. */
const TARGETS: Record<Architecture, { target: string; machine: number }> = {
  amd64: { target: "x64", machine: 62 },
  arm64: { target: "arm64", machine: 183 },
};

/** Path of the executable: the one that was named, or one in `work`. Throws BuildError or ProgramError. */
export async function agentFor(
  options: ImageOptions,
  { work, logFile, signal }: { work: string; logFile: string; signal: AbortSignal },
): Promise<string> {
  if (options.agent !== null) return options.agent;
  const root = options.branch === null ? ROOT : await checkOut(options.branch, { work, logFile, signal });
  const { target } = TARGETS[options.architecture];
  const agent = join(work, "ironic-python-agent");
  await mkdir(join(root, "dist"), { recursive: true });
  // Under a lock: a test may be building in the same checkout.
  const script = 'cd "$1" && "$0" run build.ts --target "$2" && cp "dist/ironic-python-agent-linux-$2" "$3"';
  await run(["flock", join(root, "dist"), "sh", "-c", script, process.execPath, root, target, agent], {
    name: "building the agent",
    logFile,
    signal,
  });
  await checkExecutable(agent, options.architecture);
  return agent;
}

/** Throws BuildError unless the file is a program for that processor. */
export async function checkExecutable(file: string, architecture: Architecture): Promise<void> {
  let header: Buffer;
  try {
    await using handle = await open(file, "r");
    header = (await handle.read(Buffer.alloc(20), 0, 20, 0)).buffer;
  } catch (error) {
    throw new BuildError(`the agent ${file} cannot be read: ${(error as Error).message}`);
  }
  if (header.toString("latin1", 0, 4) !== "\x7fELF")
    throw new BuildError(`the agent ${file} is no Linux program`);
  const machine = header.readUInt16LE(18);
  if (machine === TARGETS[architecture].machine) return;
  const found = Object.entries(TARGETS).find(([, target]) => target.machine === machine)?.[0];
  throw new BuildError(
    `the agent ${file} is for ${found ?? "another processor"}, the image for ${architecture}`,
  );
}

/** The sources of another commit with their dependencies. */
async function checkOut(
  ref: string,
  { work, logFile, signal }: { work: string; logFile: string; signal: AbortSignal },
): Promise<string> {
  let commit: string;
  try {
    const { stdout } = await run(["git", "-C", ROOT, "rev-parse", "--verify", "--quiet", `${ref}^{commit}`], {
      signal,
    });
    commit = stdout.trim();
  } catch {
    signal.throwIfAborted();
    throw new BuildError(`--branch ${ref}: there is no such commit, branch or tag in ${ROOT}`);
  }
  const sources = join(work, "sources");
  await mkdir(sources);
  const archive = join(work, "sources.tar");
  await run(["git", "-C", ROOT, "archive", "--output", archive, commit], { signal });
  await run(["tar", "--extract", "--file", archive, "--directory", sources], { signal });
  await run([process.execPath, "install", "--frozen-lockfile"], {
    name: "bun install",
    cwd: sources,
    logFile,
    signal,
  });
  return sources;
}
