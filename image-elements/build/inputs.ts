// What elements take from this machine is judged by their own hooks. diskimage-builder gets to those when it has fetched the
// distribution; here they are run before it, so that a key without its certificate is not found out minutes later.

import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { ProgramError, run } from "../../test/rig/programs.ts";
import { BuildError } from "./error.ts";

const HOOK_TIMEOUT_MS = 60_000;
/** As diskimage-builder does it: the settings of all elements first. */
const SCRIPT = `set -eu
for settings in "$1"/*/environment.d/*.bash; do
    if [[ " $IMAGE_ELEMENT " == *" $(basename "$(dirname "$(dirname "$settings")")") "* ]]; then source "$settings"; fi
done
shift
for hook in "$@"; do "$hook"; done`;

/** Throws BuildError with what an element's hook says against its input. */
export async function checkInputs(options: {
  elements: readonly string[];
  /** Directory of the elements that are asked: ours, whose hooks only read and copy. */
  directory: string;
  architecture: string;
  environment: Readonly<Record<string, string>>;
  work: string;
  signal: AbortSignal;
}): Promise<void> {
  const { elements, directory, architecture, environment, work, signal } = options;
  const hooks = await Array.fromAsync(new Bun.Glob("*/extra-data.d/*").scan({ cwd: directory }));
  const asked = hooks.filter((hook) => elements.some((element) => hook.startsWith(`${element}/`))).sort();
  const target = await mkdtemp(join(work, "inputs-"));
  try {
    await run(["bash", "-c", SCRIPT, "bash", directory, ...asked.map((hook) => join(directory, hook))], {
      name: "the elements' hooks",
      env: { ...environment, ARCH: architecture, IMAGE_ELEMENT: elements.join(" "), TMP_HOOKS_PATH: target },
      timeoutMs: HOOK_TIMEOUT_MS,
      signal,
    });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ProgramError)) throw error;
    const reason = error.tail.match(/^ERROR: (.+)$/m)?.[1];
    throw reason === undefined ? error : new BuildError(reason);
  } finally {
    await rm(target, { recursive: true });
  }
}
