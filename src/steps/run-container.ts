// Runs a container to its end, with podman or docker. Source: hardware specification 10.5.

import { reportWhile } from "../disk/elapsed-progress.ts";
import { errorText, HardwareManagerConfigurationError } from "../errors.ts";
import type { ProgramResult } from "../system/programs.ts";
import { type Container, imageName } from "./container-request.ts";
import type { StepContext } from "./step.ts";

export type ContainerRunner = "podman" | "docker";

/** Of what a container printed. */
const LOGGED_LINES = 300;

/**
 * Fetches the image and runs it, for as long as it takes.
 * @throws HardwareManagerConfigurationError if the runner does not work; ProgramFailedError if the image cannot be had, or what ran
 *   in it failed
 */
export async function runContainer(
  context: Pick<StepContext, "system" | "signal" | "report">,
  runner: ContainerRunner,
  { image, pullOptions, runOptions }: Container,
): Promise<void> {
  const { system, signal, report } = context;
  const { clock } = system;
  await assertRuns(context, runner);
  const name = nameFor(runner, image);
  const run = (argv: readonly string[], phase: string): Promise<ProgramResult> => {
    const work = system.run(argv, { signal, timeout: Number.POSITIVE_INFINITY });
    return reportWhile(work, { clock, report, phase, expected: null });
  };
  await run([runner, "pull", ...pullOptions, name], `fetching the container image ${image}`);
  const { stdout, stderr } = await run(
    [runner, "run", ...runOptions, name],
    `running the container ${image}`,
  );
  const lines = `${stderr}\n${stdout}`.split(/[\r\n]+/).filter((line) => line.trim() !== "");
  for (const line of lines.slice(-LOGGED_LINES)) system.log.info(`container ${image}: ${line.trimEnd()}`);
}

/** True if the runner is there and answers. */
export async function runnerWorks(
  { system }: Pick<StepContext, "system">,
  runner: ContainerRunner,
): Promise<boolean> {
  if (system.findProgram(runner) === null) return false;
  try {
    await system.run([runner, "--version"]);
    return true;
  } catch (error) {
    system.log.warning(`${runner} is installed and does not work: ${errorText(error)}`);
    return false;
  }
}

async function assertRuns(
  { system, signal }: Pick<StepContext, "system" | "signal">,
  runner: ContainerRunner,
): Promise<void> {
  try {
    await system.run([runner, "--version"], { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new HardwareManagerConfigurationError(
      `Containers cannot be run with ${runner} ([container]runner): ${errorText(error)}`,
      { cause: error },
    );
  }
}

/**
 * Only podman knows the prefix docker://, and to it oci:// would be a directory of this machine, which is not what the list of
 * allowed images is about.
 */
function nameFor(runner: ContainerRunner, image: string): string {
  return runner === "podman" && image.startsWith("docker://") ? image : imageName(image);
}
