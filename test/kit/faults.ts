// Faults a test switches on to see what an agent does about them. None is on by itself, and each says how often it
// strikes, so that a test ends in a working conductor and can see the agent recover.

export type LookupFault =
  /** 409, as when the node is locked and no token can be made. */
  | "conflict"
  /** 500 with an API error body. */
  | "server-error"
  /** 200 with a body that is not JSON. */
  | "garbage"
  /** 200 with JSON that has neither `node` nor `config`. */
  | "empty";

export interface HeartbeatFault {
  status: number;
  reason: string;
}

export class Faults {
  readonly #lookup: LookupFault[] = [];
  readonly #discovery: number[] = [];
  #heartbeat: { fault: HeartbeatFault; times: number } | null = null;
  /** Heartbeats are answered 202 and nothing ever comes of them: a conductor that is up and does not care. */
  ignoreHeartbeats = false;

  /** The next `times` lookups fail this way; calls add up, in order. */
  failLookups(fault: LookupFault, times = 1): void {
    for (let count = 0; count < times; count++) this.#lookup.push(fault);
  }

  /** The next `times` version discoveries (`GET /`) are answered with this status. */
  failDiscovery(status: number, times = 1): void {
    for (let count = 0; count < times; count++) this.#discovery.push(status);
  }

  /** The next `times` heartbeats are refused; without `times`, all of them until acceptHeartbeats(). */
  refuseHeartbeats(fault: HeartbeatFault, times = Number.POSITIVE_INFINITY): void {
    this.#heartbeat = { fault, times };
  }

  acceptHeartbeats(): void {
    this.#heartbeat = null;
  }

  /** Used by the API: the fault for this lookup, if any. */
  takeLookup(): LookupFault | undefined {
    return this.#lookup.shift();
  }

  /** Used by the API: the status for this discovery, if it shall fail. */
  takeDiscovery(): number | undefined {
    return this.#discovery.shift();
  }

  /** Used by the API: the fault for this heartbeat, if any. */
  takeHeartbeat(): HeartbeatFault | undefined {
    const current = this.#heartbeat;
    if (current === null) return undefined;
    current.times -= 1;
    if (current.times <= 0) this.#heartbeat = null;
    return current.fault;
  }
}
