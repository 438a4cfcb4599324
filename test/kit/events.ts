// What the embedded conductor tells its observers: displays, logs and tests. Events are plain data, sent in the order
// in which things happen; an observer can watch a deployment but never change its course.

import type { CommandProgress } from "./agent-client.ts";
import type { ProvisionState, Step, StepKind } from "./node.ts";
import type { Boot } from "./power.ts";

/** What became of a heartbeat that was answered 202. */
export type HeartbeatOutcome =
  /** The operation in progress looks at the agent because of it. */
  | "processed"
  /** Address and time were stored; the provision state asks for nothing more. */
  | "recorded"
  /** The node was locked by other work: nothing was stored, nothing happens. */
  | "dropped"
  /** The provision state does not take heartbeats. */
  | "ignored";

export type ConductorEvent =
  | {
      type: "lookup";
      /** UUID of the node found, or null. */
      node: string | null;
      addresses: readonly string[];
      status: number;
      /** Microversion of the request, like "1.62". */
      version: string;
    }
  | {
      type: "heartbeat";
      node: string;
      callbackUrl: string;
      agentVersion: string;
      /** PEM text of the agent's certificate, if it sent one. */
      agentVerifyCa: string | null;
      outcome: HeartbeatOutcome;
    }
  | { type: "heartbeat-refused"; ident: string; status: number; reason: string }
  | { type: "state"; node: string; from: ProvisionState; to: ProvisionState }
  | { type: "power-on"; node: string; boot: Boot }
  /** `forced`: the agent was asked to power off, did not in time, and the plug was pulled. */
  | { type: "power-off"; node: string; forced: boolean }
  /** The agent's own list of steps has been read. */
  | { type: "steps"; node: string; kind: StepKind; steps: readonly Step[] }
  /** A step of the operation begins, in the agent (`inBand`) or in the conductor. */
  | { type: "step-started"; node: string; kind: StepKind; step: Step; inBand: boolean }
  | { type: "step-progress"; node: string; step: Step; progress: CommandProgress }
  | { type: "step-finished"; node: string; kind: StepKind; step: Step }
  /** The agent refused a command because another one is running; it is sent again at a later heartbeat. */
  | { type: "agent-busy"; node: string; command: string }
  /** What the ramdisk gathered after a failure: a tar.gz. */
  | { type: "ramdisk-logs"; node: string; archive: Uint8Array }
  /** Something went wrong that does not fail the operation. */
  | { type: "warning"; node: string; message: string }
  | { type: "finished"; node: string; kind: StepKind }
  | { type: "failed"; node: string; kind: StepKind; lastError: string };

export type Observer = (event: ConductorEvent) => void;
export type Emit = (event: ConductorEvent) => void;
