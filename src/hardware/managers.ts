// The managers of one agent: evaluated once, ranked by support, asked in that order.
// Rules and texts: hardware specification 0.3, 0.4, 1.1; control-plane specification 7.

import type { Config } from "../config/config.ts";
import {
  DeviceNotFound,
  errorText,
  HardwareManagerMethodNotFound,
  HardwareManagerNotFound,
  IncompatibleHardwareMethodError,
  VersionMismatch,
} from "../errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../json.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { MetricsRecorder } from "../metrics/recorder.ts";
import type { ReportProgress } from "../progress.ts";
import type { Deployment } from "../steps/deployment.ts";
import type { StepContext, StepKind } from "../steps/step.ts";
import type { Logger } from "../system/log.ts";
import type { System } from "../system/system.ts";
import { Lshw } from "./lshw.ts";
import type {
  DeviceKind,
  HardwareManager,
  Inventory,
  ListedDevice,
  ManagerContext,
  ManagerFactory,
  ManagerMethod,
  MethodArguments,
  MethodResult,
  Work,
} from "./manager.ts";
import { NodeCache } from "./node-cache.ts";
import { type Fault, Faults } from "./plugins/faults.ts";
import type { Plugin, PluginSource } from "./plugins/plugin.ts";
import { type Candidate, chooseSteps, type StepListing } from "./step-listing.ts";
import { wireName } from "./wire-name.ts";

export type { StepListing } from "./step-listing.ts";

export type HardwareManagersOptions = {
  readonly system: System;
  readonly config: Config;
  readonly deployment: Deployment;
  /** In discovery order, which decides between managers of equal support. */
  readonly factories: readonly ManagerFactory[];
  /** Finds the managers that are not built in; they come after those that are. */
  readonly plugins?: PluginSource;
  readonly metrics?: Metrics;
  /** See ManagerContext. */
  readonly besideAgent?: boolean;
};

/** What a step is called with. */
export type StepCall = {
  readonly node: JsonObject;
  readonly ports: Json;
  readonly args: JsonObject;
  readonly signal: AbortSignal;
  readonly report: ReportProgress;
};

type Ranked = { readonly manager: HardwareManager; readonly support: number };

export class HardwareManagers {
  /** The node the managers work for. */
  readonly node: NodeCache;
  readonly lshw: Lshw;

  readonly #options: HardwareManagersOptions;
  readonly #log: Logger;
  #ranked: readonly Ranked[] = [];
  #plugins: readonly Plugin[] = [];
  readonly #faults = new Faults();
  #inventory: Promise<Inventory> | null = null;

  constructor(options: HardwareManagersOptions) {
    this.#options = options;
    this.#log = options.system.log.named("ironic_agent.hardware");
    this.lshw = new Lshw(options.system);
    this.node = new NodeCache(this.#log, () => this.dispatch("waitForDisks"));
  }

  /**
   * Makes, evaluates and ranks the managers, then initializes them, highest support first. Call once, before
   * anything else. A plug-in that does not load, or whose evaluation or initialization fails, is left out, and steps are
   * refused then (`executeStep`).
   * @throws HardwareManagerNotFound if none supports this machine
   */
  async load(signal: AbortSignal = new AbortController().signal): Promise<void> {
    await this.evaluate(signal);
    for (const { manager } of this.#ranked) {
      const fit = await this.#guard(manager, null, false, async () => {
        await manager.initialize?.(signal);
        return true;
      });
      if (!fit) this.#ranked = this.#ranked.filter((other) => other.manager !== manager);
      signal.throwIfAborted();
    }
  }

  /** `load` without the initialization: enough for those who only look, as it does not change the machine. @throws as load */
  async evaluate(signal: AbortSignal = new AbortController().signal): Promise<void> {
    const context = this.#context();
    this.#plugins = (await this.#options.plugins?.(context, signal)) ?? [];
    const builtIn = this.#options.factories.map((create) => create(context));
    const all = [...builtIn, ...this.#plugins.map(({ manager }) => manager)];
    const evaluated: Ranked[] = [];
    for (const manager of all) {
      const support = await this.#guard(manager, null, 0, () => manager.evaluateHardwareSupport());
      evaluated.push({ manager, support });
      signal.throwIfAborted();
    }
    this.#ranked = evaluated
      .filter(({ support }) => support > 0)
      .sort((left, right) => right.support - left.support);
    if (this.#ranked.length === 0) {
      const asked = all.map(({ className }) => className).join(", ");
      throw new HardwareManagerNotFound(`none of these supports this machine: ${asked || "(none known)"}`);
    }
    const ranking = this.#ranked.map(({ manager }) => `${manager.name} ${manager.version}`);
    this.#log.info(`hardware managers: ${ranking.join(", ")}`);
  }

  /** Ends what plug-ins have running. Never rejects. */
  async stop(): Promise<void> {
    await Promise.all(this.#plugins.map((plugin) => plugin.stop()));
  }

  /** Plug-ins that are out of order now. */
  get broken(): readonly Fault[] {
    return this.#faults.all;
  }

  /** The managers in use, highest support first. */
  ranking(): { className: string; name: string; version: string; support: number }[] {
    return this.#ranked.map(({ manager: { className, name, version }, support }) => ({
      className,
      name,
      version,
      support,
    }));
  }

  /**
   * Asks the managers in order and returns the first answer, null included.
   * @throws HardwareManagerMethodNotFound if none has the method or all pass; anything else a manager throws.
   */
  dispatch<M extends ManagerMethod>(method: M, ...args: MethodArguments<M>): Promise<MethodResult<M>> {
    return this.#dispatch(this.#ranked, method, args);
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

  /** Asks for a method that only plug-ins know. @throws as dispatch */
  async dispatchOwn(method: string, args: Json[], work: Partial<Work> = {}): Promise<Json> {
    for (const { manager } of this.#ranked) {
      const own = manager.ownMethods;
      if (own === undefined || !Object.hasOwn(own, method)) continue;
      const ask = async () => (await own[method]?.(args, work)) ?? null;
      const answer = await this.#answer(manager, method, ask);
      if (answer !== null) return answer.result;
    }
    throw new HardwareManagerMethodNotFound(method);
  }

  /** The devices that no manager hides, as the managers want them shown. Devices nobody has an opinion on stay. */
  async filterDevices<D extends ListedDevice>(kind: DeviceKind, devices: readonly D[]): Promise<D[]> {
    const filters = this.#ranked.filter(({ manager }) => manager.filterDevice !== undefined);
    const shown: D[] = [];
    for (const device of devices) {
      const answer = await this.#firstAnswer(filters, "filterDevice", [device, kind]);
      // A filter is given one kind of device and gives the same kind back.
      const kept = answer === null ? device : (answer.result as D | null);
      if (kept !== null) shown.push(kept);
    }
    return shown;
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
   * The steps of one kind (chooseSteps). A plug-in that cannot tell its own is left out, because a conductor that gets no list has
   * nothing useful to show; the reason comes with the refusal of the first step.
   */
  async steps(kind: StepKind, node: JsonObject, ports: Json): Promise<StepListing> {
    const lists = this.#ranked.map(async ({ manager, support }) => {
      const steps = await this.#guard(manager, kind, [], async () => {
        return (await manager.steps?.(kind, node, ports)) ?? [];
      });
      return steps.map((step): Candidate => ({ className: manager.className, support, step }));
    });
    return chooseSteps((await Promise.all(lists)).flat());
  }

  /**
   * Runs a step: managers are asked in order, one that passes hands over to the next. Returns what the step
   * returns and throws what it throws; giving foreign errors the step error's type is the caller's.
   * @throws HardwareManagerMethodNotFound if no manager has the step, HardwareManagerConfigurationError if a plug-in is out of
   *   order: its step might be the one that counts.
   */
  async executeStep(kind: StepKind, name: string, call: StepCall): Promise<Json> {
    this.#faults.assertNone(kind);
    return await this.#executeStep(this.#ranked, kind, name, call);
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

  #context(): ManagerContext {
    const { system, config } = this.#options;
    return {
      system,
      config,
      node: this.node,
      metrics: this.#options.metrics ?? new MetricsRecorder(system.clock, this.#log),
      dispatch: this.dispatch.bind(this),
      dispatchAfter: (self, method, ...args) => this.#dispatch(this.#after(self), method, args),
      dispatchOwn: (method, args, work) => this.dispatchOwn(method, args, work),
      managers: () => this.#ranked.map(({ manager }) => manager),
      filterDevices: (kind, devices) => this.filterDevices(kind, devices),
      besideAgent: this.#options.besideAgent ?? false,
      lshw: () => this.lshw.tree(),
    };
  }

  /** What a manager says; `otherwise` for a plug-in that fails, which is out of order until it says something. */
  async #guard<T>(
    manager: HardwareManager,
    kind: StepKind | null,
    otherwise: T,
    ask: () => Promise<T>,
  ): Promise<T> {
    this.#faults.forget(manager, kind);
    try {
      return await ask();
    } catch (error) {
      if (!this.#plugins.some((plugin) => plugin.manager === manager)) throw error;
      this.#log.error(`${manager.className} is left out`, error);
      this.#faults.add({ manager, kind, reason: errorText(error) });
      return otherwise;
    }
  }

  #after(self: HardwareManager): readonly Ranked[] {
    return this.#ranked.slice(this.#ranked.findIndex(({ manager }) => manager === self) + 1);
  }

  async #dispatch<M extends ManagerMethod>(
    ranked: readonly Ranked[],
    method: M,
    args: MethodArguments<M>,
  ): Promise<MethodResult<M>> {
    const answer = await this.#firstAnswer(ranked, method, args);
    if (answer === null) throw new HardwareManagerMethodNotFound(wireName(method));
    return answer.result;
  }

  async #executeStep(ranked: readonly Ranked[], kind: StepKind, name: string, call: StepCall): Promise<Json> {
    for (const { manager } of ranked) {
      const steps = (await manager.steps?.(kind, call.node, call.ports)) ?? [];
      const step = steps.find((candidate) => candidate.step === name);
      if (step === undefined) continue;
      const next = (args: JsonObject) =>
        this.#executeStep(this.#after(manager), kind, name, { ...call, args });
      const answer = await this.#answer(manager, `step ${name}`, () =>
        step.run(this.#stepContext(call, next), call.args),
      );
      if (answer !== null) return answer.result;
    }
    throw new HardwareManagerMethodNotFound(name);
  }

  #stepContext({ node, ports, signal, report }: StepCall, next: Required<StepContext>["next"]): StepContext {
    const { system, config, deployment } = this.#options;
    const installDevice: StepContext["installDevice"] = (options) =>
      this.dispatch("getOsInstallDevice", options);
    return { system, config, deployment, node, ports, signal, report, installDevice, next };
  }

  /** Null: every manager lacks the method or passes. */
  async #firstAnswer<M extends ManagerMethod>(
    ranked: readonly Ranked[],
    method: M,
    args: MethodArguments<M>,
  ): Promise<{ result: MethodResult<M> } | null> {
    for (const { manager } of ranked) {
      const answer = await this.#ask(manager, method, args);
      if (answer !== null) return answer;
    }
    return null;
  }

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
    return this.#answer(manager, wireName(method), () => implementation.apply(manager, args));
  }

  /** Null: the manager passes. */
  async #answer<T>(
    manager: HardwareManager,
    asked: string,
    ask: () => Promise<T>,
  ): Promise<{ result: T } | null> {
    try {
      return { result: await ask() };
    } catch (error) {
      if (error instanceof IncompatibleHardwareMethodError) {
        this.#log.debug(`${manager.className} passes on ${asked}: ${error.details}`);
        return null;
      }
      // That there is no such disk is an answer, which whoever asked tells on: some ask again and again until it is there.
      const log = error instanceof DeviceNotFound ? this.#log.debug : this.#log.error;
      log(`${manager.className} failed in ${asked}: ${errorText(error)}`);
      throw error;
    }
  }
}
