// Runs diskimage-builder. It mounts, makes loop devices and runs the distribution's programs as root; so it gets namespaces of
// its own for mounts and processes, and whatever ends it, nothing of that is left on this machine.

import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { ConsoleReader } from "../../test/rig/console.ts";
import { CONTAINED } from "../../test/rig/debian.ts";
import { ProgramError, run } from "../../test/rig/programs.ts";
import { BuildError } from "./error.ts";

const LONGEST_BUILD_MS = 3 * 60 * 60 * 1000;
const READ_INTERVAL_MS = 300;
/** How diskimage-builder says which hook it starts. */
const HOOK = /^dib-run-parts Running (?:\S*\/)?(?<hook>\w[\w-]*\.d\/\S+)$/;
/** What is said in every build, and when it is taken down. */
const HARMLESS = /^(?:> )?(?:E: Can not write log|Unmount |INFO diskimage_builder|\+ )/;

/** What debootstrap, apt and dnf say when they do not get what they ask their mirror for. */
const UNREACHABLE =
  /^(?:Couldn't download |Failed to fetch |Failed getting release file |Failed to download metadata |Cannot download )/;
const LONGEST_LINE = 160;

export interface DiskImage {
  /** Base name of the results in `work`. */
  name: string;
  elements: readonly string[];
  architecture: string;
  extraArguments: readonly string[];
  /** Beside this process's own. */
  environment: Readonly<Record<string, string>>;
  /** An empty directory for the results and all that is only needed meanwhile. */
  work: string;
  logFile: string;
  /** Told each line that it prints. */
  onLine: (line: string) => void;
  signal: AbortSignal;
}

/** Leaves NAME.kernel and NAME.initramfs in `work`. Throws BuildError with the element's own words, or ProgramError. */
export async function createDiskImage(image: DiskImage): Promise<void> {
  const temporary = join(image.work, "tmp");
  await mkdir(temporary);
  const log = new ConsoleReader(image.logFile);
  const report = () => {
    for (const line of log.newLines()) image.onLine(line);
  };
  const reading = setInterval(report, READ_INTERVAL_MS);
  try {
    await run(
      [
        ...CONTAINED,
        // Without the element "base", which is for machines that run cloud-init.
        ...["disk-image-create", "-n", "-a", image.architecture, "-o", join(image.work, image.name)],
        ...image.extraArguments,
        ...image.elements,
      ],
      {
        name: "diskimage-builder",
        cwd: image.work,
        env: { DIB_NO_TIMESTAMP: "1", DIB_NO_TMPFS: "1", TMP_DIR: temporary, ...image.environment },
        logFile: image.logFile,
        timeoutMs: LONGEST_BUILD_MS,
        signal: image.signal,
      },
    );
  } catch (error) {
    image.signal.throwIfAborted();
    if (!(error instanceof ProgramError)) throw error;
    const reason = errorOf(await Bun.file(image.logFile).text());
    throw reason === null ? error : new BuildError(`${reason}\n  full log: ${image.logFile}`);
  } finally {
    clearInterval(reading);
    report();
    await detachLoops(image.work);
  }
}

/** What an element, apt or dnf said was wrong; or the last words of the hook that did not end, with its name. */
export function errorOf(log: string): string | null {
  const lines = log.split("\n");
  const last = lines.findLastIndex((line) => HOOK.test(line));
  const hook = lines[last]?.match(HOOK)?.groups?.hook;
  // What the hooks before it complained about has not stopped them.
  const said = lines
    .slice(last + 1)
    .filter((line) => !HARMLESS.test(line))
    .map((line) => line.replace(/^> /, "").trim());
  const errors = said.flatMap((line) => line.match(/^(?:E|ERROR|Error): +(.+)$/)?.[1] ?? []);
  const unreachable = errors.findLast((line) => UNREACHABLE.test(line));
  if (unreachable !== undefined) return `no network? ${shortened(unreachable)}`;
  const error = errors.at(-1);
  if (error !== undefined) return error;
  if (hook === undefined || said.includes(`dib-run-parts ${basename(hook)} completed`)) return null;
  const words = said.findLast((line) => line !== "");
  return words === undefined ? `${hook} failed` : `${hook} failed: ${words}`;
}

/** debootstrap names every package that it could not get. */
function shortened(line: string): string {
  return line.length <= LONGEST_LINE ? line : `${line.slice(0, LONGEST_LINE).replace(/\s+\S*$/, "")} …`;
}

/** Those of diskimage-builder outlive its namespaces. */
async function detachLoops(directory: string): Promise<void> {
  const { stdout } = await run(["losetup", "--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE"]);
  for (const line of stdout.trim().split("\n")) {
    const [device = "", file = ""] = line.split(" ");
    if (file.startsWith(`${directory}/`)) await run(["losetup", "--detach", device]);
  }
}
