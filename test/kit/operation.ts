// A long operation on a node, deployment or cleaning: begun by an operator, moved on by heartbeats, each time with
// the node's lock held by the caller. This is the form that both take, and how both end.

import type { StepKind } from "./node.ts";

export interface Operation {
  readonly kind: StepKind;
  /** Settles when the node has reached its final state; rejects with OperationFailed. */
  readonly finished: Promise<void>;
  begin(): Promise<void>;
  heartbeat(): Promise<void>;
  /** Ends the operation from outside, for example because no heartbeat came. */
  fail(lastError: string): Promise<void>;
}

/** The operation ended in a failed state; the message is the node's `last_error`. */
export class OperationFailed extends Error {
  override readonly name = "OperationFailed";
}
