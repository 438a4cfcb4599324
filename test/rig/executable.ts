// The agent's executable for a run: built from the sources as they are now, and copied, so that somebody else's build in
// the same checkout cannot change it under a run that has begun.

import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { outsideNamespace } from "./namespace.ts";
import { run } from "./programs.ts";

const ROOT = resolve(import.meta.dir, "../..");
/** Large, or made by a build. */
const NOT_BUILT_FROM = [".git", ".cache", "dist", "node_modules", "test"];
const AGENT = "dist/ironic-python-agent-linux-x64";

/** Another text in a source file, for example a shorter time. */
export interface Change {
  /** Below the repository's root. */
  file: string;
  from: RegExp;
  to: string;
}

/**
 * Builds an executable from a copy of the sources in which constants are others: what happens by itself after weeks can then be
 * seen in a minute. Throws when a text that is to be changed is not there.
 */
export async function buildChangedAgent(
  copy: string,
  directory: string,
  changes: readonly Change[],
  signal: AbortSignal,
): Promise<void> {
  const root = join(directory, "changed-sources");
  await mkdir(root, { recursive: true });
  for (const name of await readdir(ROOT)) {
    if (NOT_BUILT_FROM.includes(name)) continue;
    await cp(join(ROOT, name), join(root, name), { recursive: true });
  }
  await symlink(join(ROOT, "node_modules"), join(root, "node_modules"));
  for (const { file, from, to } of changes) {
    const text = await readFile(join(root, file), "utf8");
    if (!from.test(text))
      throw new Error(`${file} holds nothing like the text that is to be changed: ${from}`);
    await writeFile(join(root, file), text.replace(from, to));
  }
  const script = 'cd "$1" && "$0" run build.ts && cp "$2" "$3"';
  const build = ["sh", "-c", script, process.execPath, root, AGENT, copy];
  await run(outsideNamespace(build), { logFile: join(directory, "build-changed.log"), signal });
  await rm(root, { recursive: true });
}

/** Builds the executable and copies it to `copy`; the build's output goes to build.log in `directory`. */
export async function buildAgent(copy: string, directory: string, signal: AbortSignal): Promise<void> {
  await mkdir(join(ROOT, "dist"), { recursive: true });
  // Entering the outer mount namespace leads to the root directory.
  const script = 'cd "$1" && "$0" run build.ts && cp "$2" "$3"';
  // Both under a lock: another run may be building at the same time.
  const build = ["flock", join(ROOT, "dist"), "sh", "-c", script, process.execPath, ROOT, AGENT, copy];
  await run(outsideNamespace(build), { logFile: join(directory, "build.log"), signal });
}
