// bun run image: a ramdisk with the agent, by diskimage-builder. All results appear at once at the end, or none.
// Exit codes: 0 built, 1 failed, 2 wrong command line, 130 interrupted.

import { mkdir, mkdtemp, readdir, rename, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { amount, Phases } from "../test/demo/phases.ts";
import { aptMirror } from "../test/rig/debian.ts";
import { run } from "../test/rig/programs.ts";
import { abortedBySignals, Interrupted } from "../test/rig/signals.ts";
import { agentFor } from "./build/agent.ts";
import { createDiskImage } from "./build/disk-image.ts";
import { elementsOf, environmentOf } from "./build/elements.ts";
import { BuildError } from "./build/error.ts";
import { checkInputs } from "./build/inputs.ts";
import { createIso } from "./build/iso.ts";
import { type ImageOptions, parseOptions, USAGE, UsageError } from "./build/options.ts";
import { checkMirror, preflight } from "./build/preflight.ts";

const ROOT = resolve(import.meta.dir, "..");
const CACHE = join(ROOT, ".cache/image");
const OWN_ELEMENTS = join(import.meta.dir, "dib");

async function main(args: readonly string[]): Promise<number> {
  let options: ImageOptions | null;
  try {
    options = parseOptions(args, process.env);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`image: ${error.message}\n`);
    return 2;
  }
  if (options === null) {
    process.stdout.write(USAGE);
    return 0;
  }
  const signal = abortedBySignals();
  const phases = new Phases(process.stdout);
  try {
    await build(options, phases, signal);
    return 0;
  } catch (error) {
    const { reason } = signal;
    phases.fail(reason instanceof Interrupted ? "interrupted" : "FAILED");
    if (reason instanceof Interrupted) return reason.exitCode;
    process.stderr.write(`image: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

async function build(options: ImageOptions, phases: Phases, signal: AbortSignal): Promise<void> {
  phases.begin("checks");
  const elements = elementsOf(options);
  const elementsPath = [...options.elementsPath, OWN_ELEMENTS];
  await preflight(options, { elements, elementsPath, environment: process.env });
  const mirror = options.mirror ?? (options.distribution.name === "debian" ? await mirrorOfApt() : null);
  await checkMirror(options, mirror);
  phases.end(`${options.distribution.name} ${options.release}, ${options.architecture}`);

  const name = basename(options.output);
  const { work, made } = await workDirectory(options.output);
  const logFile = join(CACHE, "logs", `${name}-${process.pid}.log`);
  try {
    phases.begin("agent");
    const agent = await agentFor(options, { work, logFile, signal });
    const settings = { agent, elementsPath, mirror, cache: CACHE, environment: process.env };
    const environment = environmentOf(options, settings);
    const { architecture } = options;
    await checkInputs({ elements, directory: OWN_ELEMENTS, architecture, environment, work, signal });
    phases.end(amount((await stat(agent)).size, "bytes"));

    phases.begin("diskimage-builder");
    await createDiskImage({
      name,
      elements,
      architecture,
      extraArguments: [...options.extraArguments, ...(options.verbose ? ["-x"] : [])],
      environment,
      work,
      logFile,
      signal,
      onLine: (line) => {
        const stage = stageOf(line);
        if (options.verbose) process.stdout.write(`${line}\n`);
        else if (stage !== null) phases.progress(stage);
      },
    });
    const kernel = join(work, `${name}.kernel`);
    const initramfs = join(work, `${name}.initramfs`);
    phases.end(`initramfs ${amount((await stat(initramfs)).size, "bytes")}`);

    if (options.iso) {
      phases.begin("ISO");
      const { kernelParameters } = options;
      const output = join(work, `${name}.iso`);
      await createIso({ kernel, initramfs, kernelParameters, output, work, logFile, signal });
      phases.end(amount((await stat(output)).size, "bytes"));
    }
    await finish(work, options);
    await rm(logFile, { force: true });
  } finally {
    await rm(work, { recursive: true, force: true, maxRetries: 5 });
    if (made !== undefined) await removeEmpty(dirname(options.output), made);
  }
}

/** Beside the results, so that they can be renamed into place; and the uppermost directory that was made for them, if any. */
async function workDirectory(output: string): Promise<{ work: string; made: string | undefined }> {
  try {
    const made = await mkdir(dirname(output), { recursive: true });
    return { work: await mkdtemp(join(dirname(output), `.${basename(output)}-`)), made };
  } catch (error) {
    throw new BuildError(`${output} cannot be written: ${(error as Error).message}`);
  }
}

/** Takes a directory and those above it away, up to `last`, until one holds something. */
async function removeEmpty(directory: string, last: string): Promise<void> {
  if ((await readdir(directory)).length > 0) return;
  await rmdir(directory);
  if (directory !== last) await removeEmpty(dirname(directory), last);
}

/** Moves the results into place, the checksums last. */
async function finish(work: string, options: ImageOptions): Promise<void> {
  const name = basename(options.output);
  // diskimage-builder's list of what is installed; beside it lies the whole environment of the build, which is nobody's business.
  const [manifest] = await Array.fromAsync(
    new Bun.Glob(`${name}.d/dib-manifests/dib-manifest-{dpkg,rpm}-*`).scan({ cwd: work }),
  );
  if (manifest !== undefined) await rename(join(work, manifest), join(work, `${name}.packages.json`));
  const results = (await readdir(work)).filter((file) => file.startsWith(`${name}.`));
  const files = results.filter((file) => /\.(?:kernel|initramfs|iso|packages\.json)$/.test(file)).sort();
  const { stdout } = await run(["sha256sum", ...files], { cwd: work });
  await writeFile(join(work, `${name}.sha256`), stdout);
  for (const file of [...files, `${name}.sha256`]) {
    await rename(join(work, file), join(dirname(options.output), file));
    process.stdout.write(`${join(dirname(options.output), file)}\n`);
  }
}

/** The one that is reached from here. */
async function mirrorOfApt(): Promise<string> {
  return (await aptMirror()).replace(/\/+$/, "");
}

/** Which hook of which phase diskimage-builder says it runs. */
function stageOf(line: string): string | null {
  return line.match(/dib-run-parts .*Running (?:\S*\/)?(\w[\w-]*\.d\/\S+)/)?.[1] ?? null;
}

process.exit(await main(process.argv.slice(2)));
