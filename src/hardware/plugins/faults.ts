// Which managers from outside are out of order. One that is must not be forgotten silently: it may be what makes a cleaning at this
// site a cleaning, so no step runs without it.

import { HardwareManagerConfigurationError } from "../../errors.ts";
import type { StepKind } from "../../steps/step.ts";
import type { HardwareManager } from "../manager.ts";

/** A plug-in that is out of order: altogether, or for the steps of one kind. */
export type Fault = {
  readonly manager: HardwareManager;
  readonly kind: StepKind | null;
  readonly reason: string;
};

export class Faults {
  readonly #faults: Fault[] = [];

  get all(): readonly Fault[] {
    return this.#faults;
  }

  add(fault: Fault): void {
    this.#faults.push(fault);
  }

  /** It is asked again. */
  forget(manager: HardwareManager, kind: StepKind | null): void {
    const known = this.#faults.findIndex((fault) => fault.manager === manager && fault.kind === kind);
    if (known >= 0) this.#faults.splice(known, 1);
  }

  /** @throws HardwareManagerConfigurationError if a plug-in might have a step of this kind that nobody can see now */
  assertNone(kind: StepKind): void {
    const fault = this.#faults.find((one) => one.kind === null || one.kind === kind);
    if (fault === undefined) return;
    throw new HardwareManagerConfigurationError(
      `No ${kind} step runs while a hardware manager is out of order, because it might have steps of its own: ` +
        `${fault.manager.className}: ${fault.reason}`,
    );
  }
}
