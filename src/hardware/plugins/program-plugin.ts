// An executable plug-in: any program that describes itself in JSON and is started once for each question. It needs neither TypeScript nor
// a running process between two questions; the protocol is in docs/hardware-managers.md.

import {
  CommandExecutionError,
  errorText,
  HardwareManagerConfigurationError,
  RestError,
} from "../../errors.ts";
import type { Json, JsonObject } from "../../json.ts";
import type { StepContext, StepKind } from "../../steps/step.ts";
import { printable } from "../../system/printable.ts";
import { lastLines, ProgramFailedError, ProgramMissingError } from "../../system/programs.ts";
import { AGENT_VERSION } from "../../version.ts";
import type { ManagerContext, Work } from "../manager.ts";
import { wireName } from "../wire-name.ts";
import type { PluginBackend, PluginDescription } from "./backend.ts";
import { measure, PluginLog, readProgress } from "./events.ts";
import { Lines } from "./lines.ts";
import { byWireName, PLUGIN_METHODS, type PluginMethod, type PluginMethodName } from "./methods.ts";
import { PluginLoadError } from "./plugin.ts";
import { type ProgramEvent, ProgramOutput } from "./program-output.ts";
import { checked, type ListedStep, programDescription } from "./schemas.ts";

const PROTOCOL = 1;
/** How many times the time limit of a question an initialization may take: it may load firmware. */
const INITIALIZE_FACTOR = 10;
/** Bytes of its output that are kept for errors; lines are read as they come. */
const KEPT_OUTPUT = 64 * 1024;
const LONGEST_LOG_LINE = 8192;

type Description = ReturnType<typeof checkDescription>;

type Call = {
  readonly argv: readonly string[];
  readonly input: JsonObject;
  readonly what: string;
  /** Seconds. */
  readonly timeout: number;
  readonly work: Partial<Work>;
};

export class ProgramPlugin implements PluginBackend {
  readonly #path: string;
  readonly #context: ManagerContext;
  readonly #log: PluginLog;
  readonly #stopping = new AbortController();
  #described: Description | null = null;

  constructor(path: string, context: ManagerContext) {
    this.#path = path;
    this.#context = context;
    this.#log = new PluginLog(context.system.log, context.system.clock);
  }

  /**
   * @throws PluginLoadError if it cannot be started at all, HardwareManagerConfigurationError or CommandExecutionError if it does not
   *   describe itself
   */
  async load(signal: AbortSignal): Promise<PluginDescription> {
    const answer = await this.#describe(signal);
    this.#described = checkDescription(answer, `${this.#who}, asked to describe itself`);
    const { name, version, methods, initialize } = this.#described;
    return {
      className: name,
      name,
      version,
      methods: methods.map((method) => byWireName(method) ?? method),
      initializes: initialize,
    };
  }

  async evaluate(): Promise<number> {
    return this.#described?.support ?? 0;
  }

  async initialize(signal: AbortSignal | undefined): Promise<void> {
    const timeout = this.#timeout * INITIALIZE_FACTOR;
    await this.#ask({
      argv: ["initialize"],
      input: {},
      what: "asked to initialize",
      timeout,
      work: signal === undefined ? {} : { signal },
    });
  }

  async listSteps(kind: StepKind): Promise<readonly ListedStep[]> {
    return this.#described?.steps[kind] ?? [];
  }

  runStep(kind: StepKind, step: ListedStep, context: StepContext, args: JsonObject): Promise<Json> {
    const { node, ports, signal, report } = context;
    const { timeout = Infinity, ...description } = step;
    return this.#ask({
      argv: ["step", kind, step.step],
      input: { node, ports, args, step: description },
      what: `running the ${kind} step ${step.step}`,
      timeout,
      work: { signal, report },
    });
  }

  answer(name: PluginMethodName, args: Json[], work: Partial<Work>): Promise<Json> {
    const method: PluginMethod = PLUGIN_METHODS[name];
    return this.#ask({
      argv: ["method", wireName(name)],
      input: method.named(args),
      what: `asked for ${wireName(name)}`,
      timeout: method.work === true ? Infinity : this.#timeout,
      work,
    });
  }

  answerOwn(name: string, args: Json[], work: Partial<Work>): Promise<Json> {
    return this.#ask({
      argv: ["method", name],
      input: { args },
      what: `asked for ${name}`,
      timeout: work.signal === undefined ? this.#timeout : Infinity,
      work,
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new CommandExecutionError(`${this.#who} is ended with the agent`));
  }

  get #who(): string {
    return this.#described === null
      ? `the plug-in ${this.#path}`
      : `the plug-in ${this.#described.name} (${this.#path})`;
  }

  get #timeout(): number {
    return this.#context.config.get("hardware_manager_timeout");
  }

  async #describe(signal: AbortSignal): Promise<unknown> {
    const input = JSON.stringify({ protocol: PROTOCOL, agent: AGENT_VERSION });
    const options = { input, timeout: this.#timeout, signal };
    let stdout: string;
    try {
      ({ stdout } = await this.#context.system.run([this.#path, "describe"], options));
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ProgramMissingError) throw new PluginLoadError(this.#path, error.message);
      throw new CommandExecutionError(`${this.#who} did not describe itself: ${errorText(error)}`);
    }
    try {
      return JSON.parse(stdout);
    } catch (error) {
      const shown = lastLines(stdout.slice(0, 300)) || "(nothing)";
      throw new HardwareManagerConfigurationError(
        `${this.#who}, asked to describe itself, did not print JSON (${printable(errorText(error))}): ${shown}`,
      );
    }
  }

  async #ask({ argv, input, what, timeout, work }: Call): Promise<Json> {
    const { system } = this.#context;
    const signal = AbortSignal.any([
      this.#stopping.signal,
      ...(work.signal === undefined ? [] : [work.signal]),
    ]);
    const output = new ProgramOutput((event) => this.#handle(event, work));
    const stderr = new Lines(LONGEST_LOG_LINE, (line) =>
      this.#handle({ kind: "text", value: line ?? "" }, {}),
    );
    const who = `${this.#who}, ${what}`;
    try {
      await system.run([this.#path, ...argv], {
        input: JSON.stringify({ protocol: PROTOCOL, agent: AGENT_VERSION, ...input }),
        timeout,
        signal,
        maxOutput: KEPT_OUTPUT,
        onOutput: (text) => output.feed(text),
        onErrorOutput: (text) => stderr.feed(text),
      });
    } catch (error) {
      if (error instanceof RestError || signal.aborted) throw error;
      output.end();
      // What it said itself is worth more than how it ended.
      if (output.error !== null) throw output.error;
      throw new CommandExecutionError(`${who}: ${reason(error)}`);
    }
    output.end();
    stderr.end();
    return output.finish(who);
  }

  #handle(event: ProgramEvent, work: Partial<Work>): void {
    if (event.kind === "progress") {
      const progress = readProgress(event.value);
      if (progress !== null) work.report?.(progress);
    } else if (event.kind === "metric") measure(this.#context.metrics, event.value);
    else if (event.value !== "") this.#log.write(this.#described?.name ?? this.#path, event.value);
  }
}

function checkDescription(answer: unknown, who: string) {
  return checked(programDescription, answer, who);
}

function reason(error: unknown): string {
  if (!(error instanceof ProgramFailedError)) return errorText(error);
  const quoted = lastLines(error.stderr.trim() === "" ? error.stdout : error.stderr);
  return quoted === "" ? errorText(error) : `${error.ending}: ${quoted}`;
}
