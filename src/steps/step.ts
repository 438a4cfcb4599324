// Steps as data: the description that goes to Ironic together with the function that does the work, so that a
// listed step without an implementation cannot exist.

import type { Config } from "../config/config.ts";
import type { Json, JsonObject } from "../json.ts";
import type { ReportProgress } from "../progress.ts";
import type { System } from "../system/system.ts";
import type { Deployment } from "./deployment.ts";

export type StepKind = "clean" | "deploy" | "service";

/** What Ironic sees of a step (get_*_steps), with its names. */
export type StepDescription = {
  readonly step: string;
  /** 0 = only on request; otherwise highest first. */
  readonly priority: number;
  /** The conductor asks for `deploy` and `raid`; others are listed and ignored. */
  readonly interface: string;
  readonly reboot_requested: boolean;
  readonly abortable?: boolean;
  /** Conductors refuse arguments that are not listed here. */
  readonly argsinfo?: {
    readonly [argument: string]: { readonly description: string; readonly required: boolean };
  };
};

export type Step = StepDescription & {
  /** Does the work; what it returns becomes `clean_result`, `deploy_result` or `service_result`. */
  readonly run: (context: StepContext, args: JsonObject) => Promise<Json>;
};

/** What a step may use. */
export type StepContext = {
  readonly system: System;
  readonly config: Config;
  /** The node as the conductor sent it with the command. */
  readonly node: JsonObject;
  readonly ports: Json;
  /** Aborted when the agent is told to end; goes down to every program and download. */
  readonly signal: AbortSignal;
  readonly report: ReportProgress;
  /** The disk to install to, by root device hints; `refresh` allows one look-up of the node if it has no hints. */
  readonly installDevice: (options: { readonly refresh: boolean }) => Promise<string>;
  /** What this agent wrote so far. */
  readonly deployment: Deployment;
  /** Runs the step of this name as the managers after this one have it. Absent where no manager runs the step. */
  readonly next?: (args: JsonObject) => Promise<Json>;
};
