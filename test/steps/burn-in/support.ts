// What the tests of burn-in share: a step's context on a recorded machine, with driver_info as an operator sets it.

import { Config } from "../../../src/config/config.ts";
import type { JsonObject } from "../../../src/json.ts";
import type { Progress } from "../../../src/progress.ts";
import type { BurnInContext } from "../../../src/steps/burn-in/tool.ts";
import { createSystem } from "../../../src/system/real.ts";
import type { System } from "../../../src/system/system.ts";

export function burnInContext(
  system: System,
  driverInfo: JsonObject = {},
  options: { readonly config?: Parameters<typeof Config.of>[0]; readonly signal?: AbortSignal } = {},
): BurnInContext & { readonly reports: Progress[] } {
  const reports: Progress[] = [];
  return {
    system,
    config: Config.of(options.config ?? {}),
    node: { uuid: "node-1", driver_info: driverInfo },
    signal: options.signal ?? new AbortController().signal,
    report: (progress) => void reports.push(progress),
    reports,
  };
}

/** The machine the tests run on. */
export function realSystem(): System {
  return createSystem({ name: "t", debug: false, json: false, file: "/dev/null", stream: "stderr" });
}

/** Why a tool cannot be used here; null if it can. */
export function missing(program: string): string | null {
  return Bun.which(program) === null ? `needs ${program}` : null;
}
