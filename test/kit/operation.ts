// A long operation on a node, deployment or cleaning: begun by an operator, moved on by heartbeats, each time with
// the node's lock held by the caller. This is the form that both take, and how both end.

import type { StepKind } from "./node.ts";

export interface Operation {
  readonly kind: StepKind;
  /** Settles when the node has reached its final state; rejects with OperationFailed. */
  readonly finished: Promise<void>;
  begin(): Promise<void>;
  heartbeat(): Promise<void>;
  /** No heartbeat came in time: ends the operation in its failed state. */
  timedOut(): Promise<void>;
  /** The conductor ends; node and machine stay as they are. */
  close(): void;
}

/** The operation was not finished, because the conductor was closed. */
export class OperationClosed extends Error {
  override readonly name = "OperationClosed";

  constructor() {
    super("The conductor was closed.");
  }
}

/** The operation ended in a failed state; the message is the node's `last_error`. */
export class OperationFailed extends Error {
  override readonly name = "OperationFailed";
}
