// Checks a step as the author of a TypeScript plug-in wrote it: its description, and that there is a function to run.

import { HardwareManagerConfigurationError } from "../../errors.ts";
import { checked, type ListedStep, pluginStep } from "./schemas.ts";

/** The description without `run`, complete. @throws HardwareManagerConfigurationError naming `who` and what is wrong */
export function checkStep(step: unknown, who: string): ListedStep {
  if (typeof step !== "object" || step === null) return checked(pluginStep, step, who);
  const { run, ...description } = step as { readonly run?: unknown };
  const listed = checked(pluginStep, description, who);
  if (typeof run !== "function")
    throw new HardwareManagerConfigurationError(
      `${who}: "run" ${run === undefined ? "is missing" : `must be a function, not ${typeof run}`}`,
    );
  return listed;
}
