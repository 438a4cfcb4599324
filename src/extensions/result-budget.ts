// Results are kept as long as the agent runs, and conductors read all of them with every heartbeat. On a node that is deployed and cleaned
// for months without a reboot (fast track), collected logs would add up without end: so the oldest large results give way.

import type { CommandResult } from "./command-result.ts";

/** What keeps a result, e.g. an entry of the command list. */
type Holder = { state: CommandResult };

export type ResultLimits = {
  /** Characters of JSON: smaller results do not count. */
  readonly large: number;
  /** Characters of JSON of all large results together; the newest one stays in any case. */
  readonly together: number;
};

const LIMITS: ResultLimits = { large: 64 * 1024, together: 32 * 1024 * 1024 };

export class ResultBudget {
  readonly #limits: ResultLimits;
  /** Oldest first. */
  readonly #large: { readonly holder: Holder; readonly size: number }[] = [];
  #together = 0;

  constructor(limits = LIMITS) {
    this.#limits = limits;
  }

  /** Takes a finished command into account. What gives way keeps its status, and its result becomes null. */
  add(holder: Holder): void {
    const size = JSON.stringify(holder.state.command_result).length;
    if (size < this.#limits.large) return;
    this.#large.push({ holder, size });
    this.#together += size;
    while (this.#together > this.#limits.together && this.#large.length > 1) {
      const oldest = this.#large.shift();
      if (oldest === undefined) return;
      this.#together -= oldest.size;
      oldest.holder.state = { ...oldest.holder.state, command_result: null };
    }
  }
}
