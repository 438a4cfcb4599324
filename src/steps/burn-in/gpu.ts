// The burn-in of graphics processors with gpu_burn, which the operator puts into the ramdisk together with its kernels.
// Source: hardware specification 10.3; https://github.com/wilicc/gpu-burn.

import { reportWhile } from "../../disk/elapsed-progress.ts";
import { CleaningError, CommandExecutionError } from "../../errors.ts";
import { BurnInSettings } from "./settings.ts";
import { type BurnInContext, limitOf, runTool } from "./tool.ts";

const A_DAY = 86_400;
/** Seconds; the driver may have to be loaded first. */
const LISTING_LIMIT = 300;

/**
 * @throws CleaningError if the machine has another number of them than it should, or for bad settings; CommandExecutionError if
 *   gpu_burn is missing, fails, or calls one faulty
 */
export async function burnInGpu(context: BurnInContext): Promise<null> {
  const settings = new BurnInSettings(context.node, "agent_burnin_gpu_");
  const directory = settings.word("install_dir") ?? "/opt/gpu-burn";
  const timeout = settings.duration("timeout", A_DAY);
  const memory = settings.amount("memory", "95%");
  const expected = settings.count("count", 0);
  if (expected > 0) await checkCount(context, directory, expected);
  const { seconds } = timeout;
  const burning = gpuBurn(context, directory, ["-m", memory, String(seconds)], limitOf(seconds));
  const { stdout } = await reportWhile(burning, {
    clock: context.system.clock,
    report: context.report,
    phase: "testing the GPUs",
    expected: seconds === 0 ? null : seconds,
  });
  const faulty = faultyGpus(stdout);
  // Releases differ in whether their exit status tells.
  if (faulty.length > 0) throw new CommandExecutionError(`gpu_burn found faulty GPUs: ${faulty.join(", ")}`);
  return null;
}

/** The numbers of the GPUs that gpu_burn's summary calls faulty. */
export function faultyGpus(stdout: string): number[] {
  return [...stdout.matchAll(/^\s*GPU (\d+): FAULTY\b/gm)].map(([, number]) => Number(number));
}

async function checkCount(context: BurnInContext, directory: string, expected: number): Promise<void> {
  const { stdout } = await gpuBurn(context, directory, ["-l"], LISTING_LIMIT);
  const found = stdout.split("\n").filter((line) => line.startsWith("ID")).length;
  if (found !== expected)
    throw new CleaningError(
      `There are ${found} GPUs and driver_info/agent_burnin_gpu_count says ${expected}. gpu_burn -l says: ${stdout.trim()}`,
    );
}

/** `limit`: seconds. It looks for its kernels in the directory it is started in. */
function gpuBurn(context: BurnInContext, directory: string, args: readonly string[], limit: number) {
  return runTool(context, [`${directory}/gpu_burn`, ...args], { timeout: limit, directory });
}
