// The agent token: the shared secret of this agent and its conductor. Ironic hands it out once, at the first lookup;
// the agent sends it with every heartbeat and asks for it with every command. Kept in memory only.
// Rules: conductor contract 1.4, control-plane specification 4.9.

/** Shorter ones are not tokens. */
const MINIMUM_LENGTH = 32;
/** What Ironic answers once it has handed the token out. */
const MASKED = "******";

export class AgentToken {
  #value: string | null;

  /** `initial`: a token the conductor put into the boot parameters (virtual media), or null. */
  constructor(initial: string | null = null) {
    this.#value = initial === "" ? null : initial;
  }

  get held(): boolean {
    return this.#value !== null;
  }

  get value(): string | null {
    return this.#value;
  }

  /**
   * Takes what a lookup answered. "masked" means Ironic gave the token away before: nothing is stored, and an
   * agent that holds none can no longer be commanded. "invalid" (too short, no string) is ignored.
   */
  accept(candidate: unknown): "accepted" | "masked" | "invalid" {
    if (candidate === MASKED) return "masked";
    if (typeof candidate !== "string" || candidate.length < MINIMUM_LENGTH) return "invalid";
    this.#value = candidate;
    return "accepted";
  }

  /** Whether `given` is the token held; never true without one. Takes the same time wherever they differ. */
  matches(given: string): boolean {
    if (this.#value === null) return false;
    const held = new TextEncoder().encode(this.#value);
    const other = new TextEncoder().encode(given);
    // Only the length of what was given decides how long this takes, never how much of it was right.
    let difference = held.length ^ other.length;
    for (let i = 0; i < other.length; i++) difference |= (held[i % held.length] ?? 0) ^ (other[i] ?? 0);
    return difference === 0;
  }
}
