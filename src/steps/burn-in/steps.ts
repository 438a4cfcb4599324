// The burn-in steps as Ironic sees them. They run on request only; what they do is said in the node's driver_info, not by arguments.
// Source: hardware specification 7, 10.3.

import type { ListDevices } from "../erase-guards.ts";
import type { Step, StepKind } from "../step.ts";
import { burnInDisks } from "./disk.ts";
import { burnInGpu } from "./gpu.ts";
import { burnInNetwork } from "./network.ts";
import { burnInCpu, burnInMemory } from "./stress-ng.ts";

/** `listDisks`: the disks of the machine that may be overwritten. */
export function burnInSteps(kind: StepKind, listDisks: ListDevices): Step[] {
  const cpu = burnInStep("burnin_cpu", burnInCpu);
  const gpu = burnInStep("burnin_gpu", burnInGpu);
  const disk = burnInStep("burnin_disk", (context) => burnInDisks(context, listDisks));
  const memory = burnInStep("burnin_memory", burnInMemory);
  const network = burnInStep("burnin_network", burnInNetwork);
  switch (kind) {
    case "clean":
      return [cpu, gpu, disk, memory, network];
    case "deploy":
      return [];
    case "service":
      // Not the disks: there is somebody's system on them.
      return [cpu, gpu, memory, network];
  }
}

function burnInStep(step: string, run: Step["run"]): Step {
  return { step, priority: 0, interface: "deploy", reboot_requested: false, abortable: true, run };
}
