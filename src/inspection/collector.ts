// What a collector is: something that finds out facts about the machine for the inspection, under keys of its
// own.

import type { Config } from "../config/config.ts";
import type { HardwareManagers } from "../hardware/managers.ts";
import type { JsonObject } from "../json.ts";
import type { System } from "../system/system.ts";

export type CollectorContext = {
  readonly system: System;
  readonly config: Config;
  readonly managers: HardwareManagers;
  /** Names of all collectors of this inspection, in their order. */
  readonly collectors: readonly string[];
  /**
   * Resolves when the collectors before this one have ended. Collectors run beside each other unless they
   * wait for it.
   */
  readonly earlier: Promise<unknown>;
  readonly signal: AbortSignal;
};

/**
 * Returns its keys with their values, in the order of the specification. What it throws is reported and stops
 * no other collector.
 */
export type Collector = (context: CollectorContext) => Promise<JsonObject>;
