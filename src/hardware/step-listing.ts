// Which manager's step of a name counts, and what Ironic sees of it.
// Source: hardware specification 0.4, control-plane specification 7.6.

import type { Step, StepDescription } from "../steps/step.ts";

/**
 * Steps of one kind by the class name of their manager: the wire's `clean_steps`, `deploy_steps` or
 * `service_steps`.
 */
export type StepListing = { [className: string]: StepDescription[] };

export type Candidate = { readonly className: string; readonly support: number; readonly step: Step };

/**
 * Each name once: the manager with the highest support keeps it, then the highest priority of the step, then the class name that
 * sorts first. A manager without a step left is not in it.
 */
export function chooseSteps(candidates: readonly Candidate[]): StepListing {
  const winners = new Map<string, Candidate>();
  for (const candidate of candidates) {
    const rival = winners.get(candidate.step.step);
    if (rival === undefined || beats(candidate, rival)) winners.set(candidate.step.step, candidate);
  }
  const listing: StepListing = {};
  for (const { className, step } of winners.values()) {
    listing[className] ??= [];
    listing[className].push(describe(step));
  }
  return listing;
}

function beats(left: Candidate, right: Candidate): boolean {
  if (left.support !== right.support) return left.support > right.support;
  if (left.step.priority !== right.step.priority) return left.step.priority > right.step.priority;
  return left.className < right.className;
}

/** Only the keys that Ironic knows. */
function describe({
  step,
  priority,
  interface: stepInterface,
  reboot_requested,
  ...rest
}: Step): StepDescription {
  return {
    step,
    priority,
    interface: stepInterface,
    reboot_requested,
    ...(rest.abortable === undefined ? {} : { abortable: rest.abortable }),
    ...(rest.argsinfo === undefined ? {} : { argsinfo: rest.argsinfo }),
  };
}
