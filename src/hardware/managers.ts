// The managers of one agent: evaluated once, ranked by support, asked in that order.
// Rules and texts: hardware specification 0.3, 0.4, 1.1; control-plane specification 7.

import type { Config } from "../config/config.ts";
import {
  errorText,
  HardwareManagerMethodNotFound,
  HardwareManagerNotFound,
  IncompatibleHardwareMethodError,
  VersionMismatch,
} from "../errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../json.ts";
import type { ReportProgress } from "../progress.ts";
import type { Deployment } from "../steps/deployment.ts";
import type { Step, StepDescription, StepKind } from "../steps/step.ts";
import type { Logger } from "../system/log.ts";
import type { System } from "../system/system.ts";
import type {
  HardwareManager,
  Inventory,
  ManagerFactory,
  ManagerMethod,
  MethodArguments,
  MethodResult,
} from "./manager.ts";
import { NodeCache } from "./node-cache.ts";

export type HardwareManagersOptions = {
  readonly system: System;
  readonly config: Config;
  readonly deployment: Deployment;
  /** In discovery order, which decides between managers of equal support. */
  readonly factories: readonly ManagerFactory[];
};

/** What a step is called with. */
export type StepCall = {
  readonly node: JsonObject;
  readonly ports: Json;
  readonly args: JsonObject;
  readonly signal: AbortSignal;
  readonly report: ReportProgress;
};

/**
 * Steps of one kind by the class name of their manager: the wire's `clean_steps`, `deploy_steps` or
 * `service_steps`.
 */
export type StepListing = { [className: string]: StepDescription[] };

type Ranked = { readonly manager: HardwareManager; readonly support: number };

export class HardwareManagers {
  /** The node the managers work for. */
  readonly node: NodeCache;

  readonly #options: HardwareManagersOptions;
  readonly #log: Logger;
  #ranked: readonly Ranked[] = [];
  #inventory: Promise<Inventory> | null = null;

  constructor(options: HardwareManagersOptions) {
    this.#options = options;
    this.#log = options.system.log.named("ironic_agent.hardware");
    this.node = new NodeCache(this.#log, () => this.dispatch("waitForDisks"));
  }

  /**
   * Makes, evaluates and ranks the managers, then initializes them, highest support first. Call once, before
   * anything else.
   * @throws HardwareManagerNotFound if none supports this machine.
   */
  async load(): Promise<void> {
    const { system, config, factories } = this.#options;
    const context = { system, config, node: this.node, dispatch: this.dispatch.bind(this) };
    const evaluated: Ranked[] = [];
    for (const create of factories) {
      const manager = create(context);
      evaluated.push({ manager, support: await manager.evaluateHardwareSupport() });
    }
    this.#ranked = evaluated
      .filter(({ support }) => support > 0)
      .sort((left, right) => right.support - left.support);
    if (this.#ranked.length === 0) {
      const asked = evaluated.map(({ manager }) => manager.className).join(", ");
      throw new HardwareManagerNotFound(`none of these supports this machine: ${asked || "(none known)"}`);
    }
    const ranking = this.#ranked.map(({ manager }) => `${manager.name} ${manager.version}`);
    this.#log.info(`hardware managers: ${ranking.join(", ")}`);
    for (const { manager } of this.#ranked) await manager.initialize?.();
  }

  /**
   * Asks the managers in order and returns the first answer, null included.
   * @throws HardwareManagerMethodNotFound if none has the method or all pass; anything else a manager throws.
   */
  async dispatch<M extends ManagerMethod>(method: M, ...args: MethodArguments<M>): Promise<MethodResult<M>> {
    for (const { manager } of this.#ranked) {
      const answer = await this.#ask(manager, method, args);
      if (answer !== null) return answer.result;
    }
    throw new HardwareManagerMethodNotFound(wireName(method));
  }

  /**
   * Asks all managers; the answers by class name, without those that pass.
   * @throws as dispatch; HardwareManagerMethodNotFound if nobody answers.
   */
  async dispatchAll<M extends ManagerMethod>(
    method: M,
    ...args: MethodArguments<M>
  ): Promise<Map<string, MethodResult<M>>> {
    const answers = new Map<string, MethodResult<M>>();
    for (const { manager } of this.#ranked) {
      const answer = await this.#ask(manager, method, args);
      if (answer !== null) answers.set(manager.className, answer.result);
    }
    if (answers.size === 0) throw new HardwareManagerMethodNotFound(wireName(method));
    return answers;
  }

  /** `{name: version}` of all managers: `hardware_manager_version` on the wire. */
  versions(): Record<string, string> {
    return Object.fromEntries(this.#ranked.map(({ manager }) => [manager.name, manager.version]));
  }

  /**
   * Null or absent means "do not check".
   * @throws VersionMismatch unless `provided` is exactly the current map.
   */
  checkVersions(provided: Json | undefined): void {
    if (provided === null || provided === undefined) return;
    const current = this.versions();
    const equal =
      isJsonObject(provided) &&
      Object.keys(provided).length === Object.keys(current).length &&
      Object.entries(current).every(([name, version]) => provided[name] === version);
    if (!equal) throw new VersionMismatch(current, provided);
  }

  /**
   * The steps of one kind, each name once: the manager with the highest support keeps it, then the highest
   * priority of the step, then the class name that sorts first.
   */
  async steps(kind: StepKind, node: JsonObject, ports: Json): Promise<StepListing> {
    const candidates: { className: string; support: number; step: Step }[] = [];
    for (const { manager, support } of this.#ranked) {
      for (const step of (await manager.steps?.(kind, node, ports)) ?? []) {
        candidates.push({ className: manager.className, support, step });
      }
    }
    const winners = new Map<string, (typeof candidates)[number]>();
    for (const candidate of candidates) {
      const rival = winners.get(candidate.step.step);
      if (rival === undefined || beats(candidate, rival)) winners.set(candidate.step.step, candidate);
    }
    const listing: StepListing = {};
    for (const { className, step } of winners.values()) {
      listing[className] ??= [];
      listing[className].push(describe(step));
    }
    return listing;
  }

  /**
   * Runs a step: managers are asked in order, one that passes hands over to the next. Returns what the step
   * returns and throws what it throws; giving foreign errors the step error's type is the caller's.
   * @throws HardwareManagerMethodNotFound if no manager has the step.
   */
  async executeStep(kind: StepKind, name: string, call: StepCall): Promise<Json> {
    const { system, config, deployment } = this.#options;
    for (const { manager } of this.#ranked) {
      const steps = (await manager.steps?.(kind, call.node, call.ports)) ?? [];
      const step = steps.find((candidate) => candidate.step === name);
      if (step === undefined) continue;
      try {
        return await step.run(
          {
            system,
            config,
            deployment,
            node: call.node,
            ports: call.ports,
            signal: call.signal,
            report: call.report,
            installDevice: (options) => this.dispatch("getOsInstallDevice", options),
          },
          call.args,
        );
      } catch (error) {
        if (!(error instanceof IncompatibleHardwareMethodError)) throw error;
        this.#log.debug(`${manager.className} passes on step ${name}: ${error.details}`);
      }
    }
    throw new HardwareManagerMethodNotFound(name);
  }

  /**
   * Everything about the machine. The first collection is remembered; `useCache` returns it, else the machine
   * is asked again and the remembered one stays.
   */
  async inventory({ useCache }: { readonly useCache: boolean }): Promise<Inventory> {
    if (this.#inventory !== null) return useCache ? this.#inventory : this.dispatch("listHardwareInfo");
    const collection = this.dispatch("listHardwareInfo");
    this.#inventory = collection;
    try {
      return await collection;
    } catch (error) {
      this.#inventory = null;
      throw error;
    }
  }

  /** Null: the manager lacks the method or passes. */
  async #ask<M extends ManagerMethod>(
    manager: HardwareManager,
    method: M,
    args: MethodArguments<M>,
  ): Promise<{ result: MethodResult<M> } | null> {
    // The compiler cannot see that the M-th member takes the M-th arguments; MethodArguments and MethodResult
    // say so.
    const implementation = manager[method] as
      | ((...args: MethodArguments<M>) => Promise<MethodResult<M>>)
      | undefined;
    if (implementation === undefined) return null;
    try {
      return { result: await implementation.apply(manager, args) };
    } catch (error) {
      if (error instanceof IncompatibleHardwareMethodError) {
        this.#log.debug(`${manager.className} passes on ${wireName(method)}: ${error.details}`);
        return null;
      }
      this.#log.error(`${manager.className}.${wireName(method)}: ${errorText(error)}`);
      throw error;
    }
  }
}

type Candidate = { readonly className: string; readonly support: number; readonly step: Step };

function beats(left: Candidate, right: Candidate): boolean {
  if (left.support !== right.support) return left.support > right.support;
  if (left.step.priority !== right.step.priority) return left.step.priority > right.step.priority;
  return left.className < right.className;
}

/** Only the keys that Ironic knows. */
function describe({
  step,
  priority,
  interface: stepInterface,
  reboot_requested,
  ...rest
}: Step): StepDescription {
  return {
    step,
    priority,
    interface: stepInterface,
    reboot_requested,
    ...(rest.abortable === undefined ? {} : { abortable: rest.abortable }),
    ...(rest.argsinfo === undefined ? {} : { argsinfo: rest.argsinfo }),
  };
}

/**
 * The reference's name of a method, as operators know it from logs: listBlockDevices → list_block_devices.
 */
function wireName(method: string): string {
  return method.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
