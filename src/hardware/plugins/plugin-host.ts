// The process of one TypeScript plug-in: loads the file, makes the manager, and answers the agent's questions with it. Everything the
// plug-in does happens here, and nothing here is shared with the agent but the channel.

import type { Config } from "../../config/config.ts";
import type { OptionName } from "../../config/options.ts";
import { HostGuard } from "../../disk/host-guard.ts";
import { HardwareManagerConfigurationError, HardwareManagerMethodNotFound } from "../../errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../../json.ts";
import type { Metrics } from "../../metrics/metrics.ts";
import type { StepKind } from "../../steps/step.ts";
import type { ParentChannel } from "../../system/companion.ts";
import type { Logger, LogLevel } from "../../system/log.ts";
import type { System } from "../../system/system.ts";
import type { ManagerMethod, MethodArguments, MethodResult } from "../manager.ts";
import { checkStep } from "./check-step.ts";
import { isPluginMethod } from "./methods.ts";
import { receivedConfig } from "./passed-config.ts";
import {
  HardwareManager,
  type PluginContext,
  type PluginStep,
  type PluginStepContext,
} from "./plugin-base.ts";
import { type IncomingCall, Rpc } from "./rpc.ts";
import type { ListedStep } from "./schemas.ts";
import { plainText } from "./wire-error.ts";

export type PluginHostOptions = {
  readonly channel: ParentChannel;
  readonly loadModule: (path: string) => Promise<Readonly<Record<string, unknown>>>;
  /** The machine, with this log. */
  readonly createSystem: (log: Logger) => System;
};

/** Answers until the agent closes the channel, which ends this process. */
export function servePlugin(options: PluginHostOptions): void {
  const host = new PluginHost(options);
  options.channel.onMessage((message) => host.rpc.receive(message));
  options.channel.onStray((error) => host.stray(error));
  options.channel.onClose(() => void host.end());
}

/** Seconds the programs of a plug-in have to end. */
const END_PATIENCE = 1.5;

/** Members of the base class that are not methods to be asked for. */
const FRAMEWORK = new Set([
  "constructor",
  "evaluateHardwareSupport",
  "initialize",
  "getCleanSteps",
  "getDeploySteps",
  "getServiceSteps",
]);

class PluginHost {
  readonly rpc: Rpc;
  readonly #options: PluginHostOptions;
  readonly #system: System;
  readonly #ending = new AbortController();
  /** Questions under way. */
  readonly #work = new Set<Promise<unknown>>();
  #node: JsonObject | null = null;
  #loaded: { readonly manager: HardwareManager; readonly context: PluginContext } | null = null;

  constructor(options: PluginHostOptions) {
    this.#options = options;
    this.#system = options.createSystem(this.#logger((params) => this.rpc.tell("log", params)));
    this.rpc = new Rpc(
      (message) => options.channel.send(message),
      (method, params, call) => this.#track(this.#serve(method, isJsonObject(params) ? params : {}, call)),
      (name, params) => {
        if (name === "node") this.#node = isJsonObject(params) ? params : null;
      },
    );
  }

  /** What nobody waited for and nobody caught must not end the plug-in: its next step may still be needed. */
  stray(error: unknown): void {
    const text = plainText(error instanceof Error ? (error.stack ?? error) : error);
    this.rpc.tell("log", { level: "error", message: `an error that nothing in the plug-in caught: ${text}` });
  }

  async end(): Promise<void> {
    const reason = new Error("the agent ends");
    this.#ending.abort(reason);
    this.rpc.close(reason);
    await Promise.race([Promise.allSettled(this.#work), this.#system.clock.sleep(END_PATIENCE)]);
    this.#options.channel.exit(0);
  }

  async #track<T>(work: Promise<T>): Promise<T> {
    this.#work.add(work);
    try {
      return await work;
    } finally {
      this.#work.delete(work);
    }
  }

  async #serve(method: string, params: JsonObject, call: IncomingCall): Promise<unknown> {
    if (method === "ping") return null;
    if (method === "load") return this.#load(params);
    if (this.#loaded === null) throw new HardwareManagerConfigurationError("the plug-in is not loaded");
    const { manager } = this.#loaded;
    const signal = AbortSignal.any([call.signal, this.#ending.signal]);
    switch (method) {
      case "evaluate":
        return manager.evaluateHardwareSupport();
      case "initialize":
        return manager.initialize?.(signal);
      case "steps":
        return (await this.#steps(params)).map(({ listed }) => listed);
      case "step":
        return this.#runStep(params, call, signal);
      case "method":
        return this.#method(manager, params, call, signal);
      default:
        throw new HardwareManagerMethodNotFound(method);
    }
  }

  async #load(params: JsonObject): Promise<Json> {
    const path = String(params.path);
    const context = this.#context(receivedConfig(params.config));
    const { default: made } = await this.#options.loadModule(path);
    if (typeof made !== "function" || !(made.prototype instanceof HardwareManager))
      throw new HardwareManagerConfigurationError(
        `its default export must be a class that extends HardwareManager of "ironic-agent", not ${nameOf(made)}`,
      );
    const manager: unknown = Reflect.construct(made, [context]);
    if (!(manager instanceof HardwareManager))
      throw new HardwareManagerConfigurationError("its constructor does not return a HardwareManager");
    if (typeof manager.evaluateHardwareSupport !== "function")
      throw new HardwareManagerConfigurationError("the method evaluateHardwareSupport is missing");
    this.#loaded = { manager, context };
    return {
      className: made.name,
      name: manager.name,
      version: manager.version,
      methods: methodsOf(manager),
      initializes: manager.initialize !== undefined,
    };
  }

  async #steps({ kind, node, ports }: JsonObject): Promise<{ listed: ListedStep; step: PluginStep }[]> {
    const { manager } = this.#loaded ?? {};
    if (manager === undefined) return [];
    const given = [isJsonObject(node) ? node : {}, ports ?? []] as const;
    const list: Readonly<Record<StepKind, () => unknown>> = {
      clean: () => manager.getCleanSteps(...given),
      deploy: () => manager.getDeploySteps(...given),
      service: () => manager.getServiceSteps(...given),
    };
    const method = `${manager.constructor.name}.get${capital(String(kind))}Steps`;
    const steps: unknown = await list[kind as StepKind]();
    if (!Array.isArray(steps))
      throw new HardwareManagerConfigurationError(`${method} must return a list, not ${nameOf(steps)}`);
    return steps.map((step: PluginStep, index) => ({
      listed: checkStep(
        step,
        `${method}, step ${index + 1}${typeof step?.step === "string" ? ` (${step.step})` : ""}`,
      ),
      step,
    }));
  }

  async #runStep(params: JsonObject, call: IncomingCall, signal: AbortSignal): Promise<unknown> {
    const found = (await this.#steps(params)).find(({ listed }) => listed.step === params.name);
    if (found === undefined || this.#loaded === null)
      throw new HardwareManagerMethodNotFound(String(params.name));
    const { context } = this.#loaded;
    const ask = async (how: string, asked: string, args: readonly unknown[]) =>
      (await call.ask(how, { method: asked, args: [...args] as Json[] })) as never;
    const extra = {
      // As a part of this step, so that it is aborted with it.
      dispatch: (asked, ...args) => ask("dispatch", asked, args),
      next: (asked, ...args) => ask("next", asked, args),
      call: (asked, ...args) => ask("own", asked, args),
      // Its lines belong to the command that runs it.
      system: { ...this.#system, log: this.#logger((line) => call.tell("log", line)) },
      node: isJsonObject(params.node) ? params.node : {},
      ports: params.ports ?? [],
      signal,
      report: (progress) => call.tell("progress", { ...progress }),
      installDevice: async (options) =>
        String(await call.ask("installDevice", { refresh: options?.refresh === true })),
      runNext: (args) => call.ask("runNext", { args: args ?? {} }),
    } satisfies Partial<PluginStepContext>;
    // Over the plug-in's own context, whose `node` is a getter.
    const stepContext: PluginStepContext = Object.assign(Object.create(null), context, extra);
    return found.step.run(stepContext, isJsonObject(params.args) ? params.args : {});
  }

  async #method(
    manager: HardwareManager,
    { name, args }: JsonObject,
    call: IncomingCall,
    signal: AbortSignal,
  ): Promise<unknown> {
    const method = methodsOf(manager).find((known) => known === name);
    if (method === undefined) throw new HardwareManagerMethodNotFound(String(name));
    const report = (progress: object) => call.tell("progress", { ...progress } as JsonObject);
    const work = {
      waitForDisks: signal,
      collectSystemLogs: signal,
      collectLldpData: signal,
      eraseBlockDevice: { signal, report },
    };
    const more = Object.hasOwn(work, method) ? [work[method as keyof typeof work]] : [];
    const implementation: unknown = Reflect.get(manager, method);
    if (typeof implementation !== "function") throw new HardwareManagerMethodNotFound(method);
    return Reflect.apply(implementation, manager, [...(Array.isArray(args) ? args : []), ...more]);
  }

  #context(config: Config): PluginContext {
    const system = this.#system;
    const guard = new HostGuard(system, { allowHostDisks: config.get("allow_host_disks") });
    const getNode = () => this.#node;
    const ask = async <M extends ManagerMethod>(how: string, method: M, args: MethodArguments<M>) =>
      // The agent has checked what it hands out.
      (await this.rpc.call(how, { method, args: args as unknown as Json[] })) as MethodResult<M>;
    return {
      system,
      config: { get: (name) => config.get(name as OptionName) },
      get node() {
        return getNode();
      },
      metrics: this.#metrics(system),
      dispatch: (method, ...args) => ask("dispatch", method, args),
      next: (method, ...args) => ask("next", method, args),
      call: (method, ...args) => this.rpc.call("own", { method, args }),
      assertMayDestroy: (device, action) => guard.assertMayDestroy(device, action),
    };
  }

  #logger(tell: (params: JsonObject) => void, name: string | null = null): Logger {
    const write = (level: LogLevel) => (message: string, context?: unknown) => {
      // Not every plug-in is type-checked.
      const said = context === undefined ? [message] : [message, context];
      const text = said.map(plainText).join(": ");
      tell({ level, message: name === null ? text : `${name}: ${text}` });
    };
    return {
      debug: write("DEBUG"),
      info: write("INFO"),
      warning: write("WARNING"),
      error: write("ERROR"),
      named: (child) => this.#logger(tell, child),
    };
  }

  #metrics({ clock }: System): Metrics {
    const tell = (kind: string, name: string, value: number) =>
      this.rpc.tell("metric", { kind, name, value });
    return {
      timer: (name) => ({
        record: (seconds) => tell("timer", name, seconds),
        async time(work) {
          const started = clock.monotonic();
          try {
            return await work();
          } finally {
            tell("timer", name, clock.monotonic() - started);
          }
        },
      }),
      counter: (name) => ({ increment: (by = 1) => tell("counter", name, by) }),
      gauge: (name) => ({ set: (value) => tell("gauge", name, value) }),
    };
  }
}

/** What the plug-in's classes add to the base class: the agent's methods by their names, and its own. */
function methodsOf(manager: HardwareManager): string[] {
  const names = new Set<string>();
  for (
    let prototype: object | null = Object.getPrototypeOf(manager);
    prototype !== null && prototype !== HardwareManager.prototype;
    prototype = Object.getPrototypeOf(prototype)
  )
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype)))
      if (typeof value === "function" && !FRAMEWORK.has(name) && !name.startsWith("_")) names.add(name);
  // A method given as a field counts when the agent knows it.
  for (const [name, value] of Object.entries(manager))
    if (typeof value === "function" && isPluginMethod(name)) names.add(name);
  return [...names];
}

function capital(word: string): string {
  return word.slice(0, 1).toUpperCase() + word.slice(1);
}

function nameOf(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (typeof value === "function") return value.name === "" ? "a function" : `the function ${value.name}`;
  return Array.isArray(value) ? "a list" : `of type ${typeof value}`;
}
