// A TypeScript plug-in, seen from the agent: the file is loaded by a second process of this executable (plugin-host.ts), so that
// throwing, looping, exiting and eating memory end that process and nothing else. It is started again when it is needed again.

import { CommandExecutionError, errorText, HardwareManagerConfigurationError } from "../../errors.ts";
import type { Json, JsonObject } from "../../json.ts";
import type { StepContext, StepKind } from "../../steps/step.ts";
import type { Companion } from "../../system/companion.ts";
import type { Logger } from "../../system/log.ts";
import { AGENT_VERSION } from "../../version.ts";
import type { HardwareManager, ManagerContext, Work } from "../manager.ts";
import { wireName } from "../wire-name.ts";
import type { PluginBackend, PluginDescription } from "./backend.ts";
import { measure, PluginLog, readProgress } from "./events.ts";
import { PLUGIN_METHODS, type PluginMethod, type PluginMethodName } from "./methods.ts";
import { passedConfig } from "./passed-config.ts";
import { PluginLoadError } from "./plugin.ts";
import { servePluginRequests } from "./plugin-requests.ts";
import { type CallOptions, Rpc, type Serve } from "./rpc.ts";
import { checked, type ListedStep, moduleDescription, pluginSteps } from "./schemas.ts";
import { withTimeLimit } from "./time-limit.ts";

/** Seconds a plug-in has to end after it was told to: for a question, and for a step, whose programs have to end first. */
const GRACE = 2;
const STEP_GRACE = 10;
/** The same when the agent ends: its steps were told some seconds ago. */
const STOP_GRACE = 0.2;
/** Seconds in which a process that is not stuck answers. */
const PING_PATIENCE = 2;
/** A conductor waits 60 s for the list of all steps. */
const LIST_TIMEOUT = 30;
/** How many times the time limit of a question an initialization may take: it may load firmware. */
const INITIALIZE_FACTOR = 10;

/** The plug-in's process is gone; what that means depends on what it was asked. */
class PluginEnded extends Error {
  constructor(ending: string) {
    super(`it ended by itself, with ${ending}`);
  }
}

type Session = { readonly companion: Companion; readonly rpc: Rpc };

export class ModulePlugin implements PluginBackend {
  readonly #path: string;
  readonly #context: ManagerContext;
  readonly #log: Logger;
  readonly #lines: PluginLog;
  #who: string;
  #description: PluginDescription | null = null;
  #session: Session | null = null;
  #opening: Promise<Session> | null = null;
  #initialized = false;
  /** Questions and steps under way. */
  #asked = 0;
  #nodeSent: JsonObject | null = null;
  /** Itself as the framework knows it, for asking those that come after it. */
  #manager: HardwareManager | null = null;
  #stopped = false;

  constructor(path: string, context: ManagerContext) {
    this.#path = path;
    this.#context = context;
    this.#log = context.system.log.named("ironic_agent.plugin");
    this.#lines = new PluginLog(context.system.log, context.system.clock);
    this.#who = `the plug-in ${path}`;
  }

  /** @throws PluginLoadError */
  async load(signal: AbortSignal): Promise<PluginDescription> {
    try {
      await this.#open(signal);
    } catch (error) {
      signal.throwIfAborted();
      throw new PluginLoadError(this.#path, reason(error), { cause: error });
    }
    if (this.#description === null) throw new PluginLoadError(this.#path, "it did not say what it is");
    return this.#description;
  }

  /** Must be called before anything is asked. */
  isKnownAs(manager: HardwareManager): void {
    this.#manager = manager;
  }

  async evaluate(): Promise<number> {
    const answer = await this.#ask("evaluate", null, "evaluate its hardware support", this.#timeout);
    if (typeof answer === "number" && Number.isFinite(answer)) return answer;
    throw new HardwareManagerConfigurationError(
      `${this.#who}: evaluateHardwareSupport must return a number, not ${JSON.stringify(answer)}`,
    );
  }

  async initialize(signal: AbortSignal | undefined): Promise<void> {
    await this.#ask("initialize", null, "initialize", this.#timeout * INITIALIZE_FACTOR, { signal });
    this.#initialized = true;
  }

  async listSteps(kind: StepKind, node: JsonObject, ports: Json): Promise<readonly ListedStep[]> {
    const what = `list its ${kind} steps`;
    const seconds = Math.min(this.#timeout, LIST_TIMEOUT);
    const answer = await this.#ask("steps", { kind, node, ports }, what, seconds);
    return checked(pluginSteps, answer, `${this.#who}, asked to ${what}`);
  }

  runStep(kind: StepKind, step: ListedStep, context: StepContext, args: JsonObject): Promise<Json> {
    const { node, ports, signal, report } = context;
    const options: CallOptions & { grace: number; longWork: boolean } = {
      signal,
      grace: STEP_GRACE,
      longWork: true,
      serve: this.#serve({ signal, report }, context),
      onTold: (name, params) => this.#told(name, params, report),
    };
    return this.#ask(
      "step",
      { kind, name: step.step, node, ports, args },
      `run the ${kind} step ${step.step}`,
      step.timeout ?? null,
      options,
    );
  }

  answer(name: PluginMethodName, args: Json[], work: Partial<Work>): Promise<Json> {
    const method: PluginMethod = PLUGIN_METHODS[name];
    return this.#answer(name, wireName(name), args, work, method.work === true);
  }

  answerOwn(name: string, args: Json[], work: Partial<Work>): Promise<Json> {
    return this.#answer(name, name, args, work, work.signal !== undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#close(STOP_GRACE);
  }

  get #name(): string {
    return this.#description?.className ?? this.#path.slice(this.#path.lastIndexOf("/") + 1);
  }

  get #timeout(): number {
    return this.#context.config.get("hardware_manager_timeout");
  }

  #answer(name: string, shown: string, args: Json[], work: Partial<Work>, isLong: boolean): Promise<Json> {
    return this.#ask("method", { name, args }, `answer ${shown}`, isLong ? null : this.#timeout, {
      signal: work.signal,
      ...(isLong ? { grace: STEP_GRACE, longWork: true } : {}),
      serve: this.#serve(work),
      onTold: (told, params) => this.#told(told, params, work.report),
    });
  }

  async #ask(
    method: string,
    params: Json,
    what: string,
    seconds: number | null,
    options: Omit<CallOptions, "signal"> & {
      readonly signal?: AbortSignal | undefined;
      readonly grace?: number;
      /** It must not go on after it was given up. */
      readonly longWork?: boolean;
    } = {},
  ): Promise<Json> {
    const { rpc } = await this.#current();
    const { node } = this.#context;
    if (node.current !== this.#nodeSent) {
      this.#nodeSent = node.current;
      rpc.tell("node", node.current);
    }
    const { grace = GRACE, longWork = false } = options;
    this.#asked += 1;
    try {
      return await this.#limited(
        what,
        seconds,
        options.signal,
        grace,
        (signal) => rpc.call(method, params, { serve: this.#serve({}), ...options, signal }),
        longWork ? undefined : () => this.#closeUnlessBusy(what),
      );
    } finally {
      this.#asked -= 1;
    }
  }

  #limited<T>(
    what: string,
    seconds: number | null,
    signal: AbortSignal | undefined,
    grace: number,
    work: (signal: AbortSignal) => Promise<T>,
    kill: () => Promise<void> = () => this.#close(0),
  ): Promise<T> {
    const timeoutError = () =>
      new CommandExecutionError(
        `${this.#who} took longer than ${seconds} s to ${what}, and was given up. ` +
          "If it needs more, raise hardware_manager_timeout (or the step's own timeout).",
      );
    const { clock } = this.#context.system;
    return withTimeLimit({ clock, seconds, signal, grace, kill: () => void kill(), timeoutError }, (over) =>
      work(over).catch((error: unknown) => {
        if (!(error instanceof PluginEnded)) throw error;
        throw new CommandExecutionError(`${this.#who}, told to ${what}: ${error.message}`);
      }),
    );
  }

  /** The process, started again if it has ended. */
  async #current(): Promise<Session> {
    if (this.#stopped) throw new CommandExecutionError(`${this.#who} has been stopped with the agent`);
    if (this.#opening === null && this.#session !== null) return this.#session;
    this.#opening ??= this.#reopen().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #reopen(): Promise<Session> {
    this.#log.warning(`${this.#who} has ended before; starting it again`);
    const before = this.#description;
    const session = await this.#open(undefined);
    if (JSON.stringify(this.#description) !== JSON.stringify(before)) {
      this.#description = before;
      await this.#close(GRACE);
      throw new HardwareManagerConfigurationError(
        `${this.#who} is no longer what it was when the agent started: restart the agent`,
      );
    }
    if (this.#initialized)
      await this.#limited("initialize", this.#timeout * INITIALIZE_FACTOR, undefined, GRACE, (signal) =>
        session.rpc.call("initialize", null, { serve: this.#serve({}), signal }),
      );
    return session;
  }

  async #open(signal: AbortSignal | undefined): Promise<Session> {
    const rpc = new Rpc(
      (message) => companion.send(message),
      this.#serve({}),
      (name, params) => this.#told(name, params, undefined),
    );
    const companion = this.#context.system.startCompanion({
      argv: ["plugin-host", this.#path],
      onMessage: (message) => rpc.receive(message),
      onOutput: (line) => this.#lines.write(this.#name, line),
      onEnd: (ending) => {
        rpc.close(new PluginEnded(ending));
        if (this.#session === session) this.#session = null;
      },
    });
    const session = { companion, rpc };
    this.#session = session;
    this.#nodeSent = null;
    const settings = { path: this.#path, config: passedConfig(this.#context.config), agent: AGENT_VERSION };
    try {
      const answer = await this.#limited("be loaded", this.#timeout, signal, GRACE, (over) =>
        rpc.call("load", settings, { signal: over }),
      );
      this.#description = checked(moduleDescription, answer, this.#who);
    } catch (error) {
      await this.#close(GRACE);
      throw error;
    }
    this.#who = `the plug-in ${this.#description.className} (${this.#path})`;
    return session;
  }

  /** A question that hangs is no reason to end a step of the same plug-in that is under way, if that still can be reached. */
  async #closeUnlessBusy(what: string): Promise<void> {
    const session = this.#session;
    const busy = this.#asked > 1;
    if (session !== null && busy && (await this.#responds(session.rpc))) {
      this.#log.warning(`${this.#who} goes on with what else it does, although it did not ${what}`);
      return;
    }
    if (this.#session === session) await this.#close(0);
  }

  async #responds(rpc: Rpc): Promise<boolean> {
    const answered = rpc.call("ping", null).then(
      () => true,
      () => false, // it has ended meanwhile
    );
    const patience = this.#context.system.clock.sleep(PING_PATIENCE).then(() => false);
    return Promise.race([answered, patience]);
  }

  /** Never rejects. */
  async #close(patience: number): Promise<void> {
    const session = this.#session;
    this.#session = null;
    await session?.companion.stop(patience);
  }

  /** Answers what the plug-in asks, as a part of `step` if it runs one. */
  #serve(work: Partial<Work>, step?: StepContext): Serve {
    return servePluginRequests({ context: this.#context, self: () => this.#manager, work, step });
  }

  #told(name: string, params: Json, report: Work["report"] | undefined): void {
    if (name === "progress") {
      const progress = readProgress(params);
      if (progress !== null) report?.(progress);
    } else if (name === "log") this.#lines.write(this.#name, params);
    else if (name === "metric") measure(this.#context.metrics, params);
  }
}

/** Why a file did not load, without the words around it that say which. */
function reason(error: unknown): string {
  return error instanceof HardwareManagerConfigurationError ? error.details : errorText(error);
}
