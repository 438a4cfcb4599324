// What the fleet benchmark and its process full of agents say to each other.

/** One request of an agent to Ironic. */
export type ApiRequest = {
  /** Milliseconds since 1970, when it was sent. */
  readonly at: number;
  readonly kind: "version" | "lookup" | "heartbeat";
  /** HTTP status; 0 = no answer. */
  readonly status: number;
  /** Milliseconds until the answer or the failure. */
  readonly took: number;
};

export type Usage = {
  /** Resident, bytes. */
  readonly memory: number;
  /** Processor time so far, milliseconds. */
  readonly cpu: number;
};

export type Order =
  /** Starts the agents with these numbers, all at once. */
  | { readonly order: "start"; readonly from: number; readonly to: number }
  /** Lets the clean steps that hold end. */
  | { readonly order: "release" }
  | { readonly order: "measure" }
  | { readonly order: "stop" };

export type News =
  | { readonly news: "ready" }
  /** The clean step of an agent holds now. */
  | { readonly news: "holding"; readonly agent: number }
  | { readonly news: "measured"; readonly usage: Usage; readonly requests: readonly ApiRequest[] }
  | { readonly news: "stopped"; readonly exitCodes: readonly number[] };

/** The process's arguments, as JSON. */
export type FleetSettings = { readonly apiUrl: string; readonly agents: number };

/** Every agent has a loopback address of its own, and the usual port. */
export const agentAddress = (agent: number) => `127.1.${Math.floor(agent / 250)}.${(agent % 250) + 1}`;

export const agentMac = (agent: number) => {
  const hex = agent.toString(16).padStart(4, "0");
  return `52:54:00:f1:${hex.slice(0, 2)}:${hex.slice(2)}`;
};

export const agentUuid = (agent: number) => `f1ee7000-0000-4000-8000-${agent.toString(16).padStart(12, "0")}`;
