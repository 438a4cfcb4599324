// What a TypeScript plug-in is made of: the class it extends, the steps it lists, and what both are given. This is a public
// interface (docs/hardware-managers.md): vendors' files are written against it, so it is added to and not changed.

import { IncompatibleHardwareMethodError } from "../../errors.ts";
import type { Json, JsonObject } from "../../json.ts";
import type { Metrics } from "../../metrics/metrics.ts";
import type { ReportProgress } from "../../progress.ts";
import type { Clock } from "../../system/clock.ts";
import type { Files } from "../../system/files.ts";
import type { HttpClient } from "../../system/http-client.ts";
import type { Logger } from "../../system/log.ts";
import type { FindProgram, RunProgram } from "../../system/programs.ts";
import type { ResolveHost } from "../../system/resolver.ts";
import type { Dispatch, HardwareMethods, ManagerMethod, MethodArguments, MethodResult } from "../manager.ts";
import { checkStep } from "./check-step.ts";

/** The machine, as far as plug-ins need it. */
export type PluginSystem = {
  /** Runs an external program to its end: an argument list, no shell, a time limit, bounded output. */
  readonly run: RunProgram;
  /** Path of a program if it is installed, else null. */
  readonly findProgram: FindProgram;
  readonly files: Files;
  readonly http: HttpClient;
  readonly resolveHost: ResolveHost;
  readonly clock: Clock;
  /** Goes to the agent's log, under the plug-in's name, with secrets masked. */
  readonly log: Logger;
  readonly hostname: string;
  /** `x64` or `arm64`. */
  readonly architecture: string;
};

/** The agent's options, as they were when the plug-in was loaded, without the secret ones. */
export type PluginConfig = {
  /** By the option's name, `group.name` for those of a group. @throws Error for a name that no option has */
  get(name: string): string | number | boolean | readonly string[] | null;
};

/** What a plug-in gets to work with; `this.context` in a HardwareManager. */
export type PluginContext = {
  readonly system: PluginSystem;
  readonly config: PluginConfig;
  /** The node this agent works for, as Ironic last described it; null before the lookup. */
  readonly node: JsonObject | null;
  readonly metrics: Metrics;
  /** Asks all hardware managers, the best suited first, this one included. */
  readonly dispatch: Dispatch;
  /** Asks the managers that come after this one: for adding to their answer instead of replacing it. */
  readonly next: <M extends ManagerMethod>(
    method: M,
    ...args: MethodArguments<M>
  ) => Promise<MethodResult<M>>;
  /** Asks for a method that another plug-in has of its own. */
  readonly call: (method: string, ...args: Json[]) => Promise<Json>;
  /**
   * Returns if the block device may be overwritten. To be asked before anything is destroyed.
   * @throws HostDiskError if it belongs to the running system, or the agent does not run from a ramdisk
   */
  readonly assertMayDestroy: (device: string, action?: string) => Promise<void>;
};

/** What a step gets to work with. */
export type PluginStepContext = PluginContext & {
  /** The node and its ports as the conductor sent them with the command. */
  readonly node: JsonObject;
  readonly ports: Json;
  /** Aborted when the agent is told to end and when the step's time is over. Hand it to every program and wait. */
  readonly signal: AbortSignal;
  /** Tells how far the step is: shown in the command's result while it runs. */
  readonly report: ReportProgress;
  /** The disk to install to, by root device hints. */
  readonly installDevice: (options?: { readonly refresh: boolean }) => Promise<string>;
  /** Runs the step of this name as the managers after this one have it. */
  readonly runNext: (args?: JsonObject) => Promise<Json>;
};

export type PluginStep = {
  /** Its name in Ironic: letters, digits and underscores. */
  readonly step: string;
  /** Highest first; 0 (the default) runs only on request. */
  readonly priority?: number;
  /** `deploy` (the default), or `raid`. */
  readonly interface?: string;
  /** Ironic reboots the node after it. Default false. */
  readonly reboot_requested?: boolean;
  /** An operator may abort it. Default false. */
  readonly abortable?: boolean;
  /** What may stand in its `args`; Ironic refuses every other argument. */
  readonly argsinfo?: {
    readonly [argument: string]: { readonly description: string; readonly required?: boolean };
  };
  /** Seconds after which it is ended; default: it may take as long as it likes. */
  readonly timeout?: number;
  /** Does the work. What it returns goes to Ironic. */
  readonly run: (context: PluginStepContext, args: JsonObject) => unknown;
};

/** Checks a step where it is written, and gives editors its types. @throws HardwareManagerConfigurationError */
export function defineStep(step: PluginStep): PluginStep {
  checkStep(step, `defineStep(${JSON.stringify(step?.step ?? null)})`);
  return step;
}

/** The `run` of a step that is listed for its priority only: the next manager that has the step does the work. */
export async function passOn(): Promise<never> {
  throw new IncompatibleHardwareMethodError("left to the next hardware manager");
}

type MaybePromise<T> = T | Promise<T>;

/**
 * A hardware manager of a plug-in: the file's default export is a class that extends this one. It may have any method of
 * HardwareMethods; one that it does not have, or that throws IncompatibleHardwareMethodError, is answered by the next manager.
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: every method below is optional, so nothing is claimed that may be missing
export abstract class HardwareManager {
  /** The name in `hardware_manager_version`. Conductors store it: do not change it. */
  readonly name: string = this.constructor.name;
  /** Change it with every change of the plug-in: Ironic then starts a cleaning in progress over. */
  readonly version: string = "1.0";

  protected readonly context: PluginContext;

  constructor(context: PluginContext) {
    this.context = context;
  }

  /** How well this manager supports this machine (see Support); 0: not at all. Must not change the machine. */
  abstract evaluateHardwareSupport(): MaybePromise<number>;

  /** Prepares the machine; called once, after all managers were evaluated. */
  initialize?(signal: AbortSignal): MaybePromise<void>;

  getCleanSteps(_node: JsonObject, _ports: Json): MaybePromise<readonly PluginStep[]> {
    return [];
  }

  getDeploySteps(_node: JsonObject, _ports: Json): MaybePromise<readonly PluginStep[]> {
    return [];
  }

  getServiceSteps(_node: JsonObject, _ports: Json): MaybePromise<readonly PluginStep[]> {
    return [];
  }
}

// The methods it may have, for the types' sake: there is no body, so the framework sees only what a plug-in has written.
export interface HardwareManager extends HardwareMethods {}
