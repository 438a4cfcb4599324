// The burn-in of processors and memory: stress-ng keeps them busy for a day and checks what they compute and store.
// Source: hardware specification 10.3.

import { reportWhile } from "../../disk/elapsed-progress.ts";
import { BurnInSettings, type Duration } from "./settings.ts";
import { type BurnInContext, limitOf, runTool } from "./tool.ts";

const A_DAY = 86_400;

/** @throws CommandExecutionError if stress-ng is missing or a processor computed wrongly; CleaningError for bad settings */
export async function burnInCpu(context: BurnInContext): Promise<null> {
  const settings = new BurnInSettings(context.node, "agent_burnin_cpu_");
  const cpus = settings.count("cpu", 0);
  await stress(context, "testing the processors", settings, { kind: "cpu", workers: cpus });
  return null;
}

/** @throws CommandExecutionError if stress-ng is missing or memory forgot something; CleaningError for bad settings */
export async function burnInMemory(context: BurnInContext): Promise<null> {
  const settings = new BurnInSettings(context.node, "agent_burnin_vm_");
  const workers = settings.count("vm", 0);
  const bytes = settings.amount("vm-bytes", "98%");
  await stress(context, "testing the memory", settings, { kind: "vm", workers, bytes });
  return null;
}

/** `workers`: 0 for one on each processor. `bytes`: of all workers together. */
type Stressor =
  | { readonly kind: "cpu"; readonly workers: number }
  | { readonly kind: "vm"; readonly workers: number; readonly bytes: string };

async function stress(
  context: BurnInContext,
  phase: string,
  settings: BurnInSettings,
  stressor: Stressor,
): Promise<void> {
  const timeout = settings.duration("timeout", A_DAY);
  const logFile = settings.word("outputfile");
  const work = runTool(context, stressNg(stressor, timeout, logFile), { timeout: limitOf(timeout.seconds) });
  await reportWhile(work, {
    clock: context.system.clock,
    report: context.report,
    phase,
    expected: timeout.seconds === 0 ? null : timeout.seconds,
  });
}

function stressNg(stressor: Stressor, timeout: Duration, logFile: string | null): string[] {
  return [
    ...["stress-ng", `--${stressor.kind}`, String(stressor.workers), "--timeout", timeout.text],
    ...(stressor.kind === "vm" ? ["--vm-bytes", stressor.bytes] : []),
    "--metrics-brief",
    ...(logFile === null ? [] : ["--log-file", logFile]),
  ];
}
