// What the commands of the extensions may use. The agent owns every one of these objects and hands them down;
// an extension keeps nothing of its own between two commands.

import type { Config } from "../config/config.ts";
import type { HardwareManagers } from "../hardware/managers.ts";
import type { JsonObject } from "../json.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Deployment } from "../steps/deployment.ts";
import type { System } from "../system/system.ts";

/** What a command may do to the agent itself. Both take effect once the command's answer is out. */
export interface Lifecycle {
  /** The agent ends, with exit code 0. */
  end(): void;
  /** The API and the heartbeats stop, the network interfaces go down, and the process stays. */
  lockDown(): void;
}

export type Services = {
  readonly system: System;
  readonly config: Config;
  /** Its `node` is the node the agent works for. */
  readonly managers: HardwareManagers;
  readonly deployment: Deployment;
  readonly metrics: Metrics;
  /** Takes over a lookup answer (node, settings, token), as after a lookup of the agent's own. */
  readonly applyLookup: (answer: JsonObject) => Promise<void>;
  readonly lifecycle: Lifecycle;
};
