// The agent's executable for a run: built from the sources as they are now, and copied, so that somebody else's build in
// the same checkout cannot change it under a run that has begun.

import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { outsideNamespace } from "./namespace.ts";
import { run } from "./programs.ts";

const ROOT = resolve(import.meta.dir, "../..");
const AGENT = "dist/ironic-python-agent-linux-x64";

/** Builds the executable and copies it to `copy`; the build's output goes to build.log in `directory`. */
export async function buildAgent(copy: string, directory: string, signal: AbortSignal): Promise<void> {
  await mkdir(join(ROOT, "dist"), { recursive: true });
  // Entering the outer mount namespace leads to the root directory.
  const script = 'cd "$1" && "$0" run build.ts && cp "$2" "$3"';
  // Both under a lock: another run may be building at the same time.
  const build = ["flock", join(ROOT, "dist"), "sh", "-c", script, process.execPath, ROOT, AGENT, copy];
  await run(outsideNamespace(build), { logFile: join(directory, "build.log"), signal });
}
