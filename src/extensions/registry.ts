// The command machine: one command at a time, every result kept in the order of acceptance, nothing of it
// persisted. Conductors read the list as part of their protocol (conductor-contract 2.6), so no entry may
// appear, move or change its name for reasons of our own.
// Source: ironic-python-agent extensions/base.py.

import {
  AgentIsBusy,
  CommandExecutionError,
  InvalidCommandError,
  InvalidContentError,
  RequestedObjectNotFoundError,
} from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { PhaseTimer } from "../metrics/phase-timer.ts";
import type { Logger } from "../system/log.ts";
import type { BoundCommand, Command, CommandContext, CommandDirectory, Extension } from "./command.ts";
import { type CommandEvent, CommandFeed } from "./command-feed.ts";
import type { CommandResult } from "./command-result.ts";
import { failure, type Outcome, success } from "./outcome.ts";
import { ResultBudget } from "./result-budget.ts";
import type { Services } from "./services.ts";
import { shorten } from "./shorten.ts";

export type AsyncCommandEnded = {
  readonly result: CommandResult;
  /** When the command was accepted, in seconds of `clock.monotonic()`. */
  readonly acceptedAt: number;
};

/** One command. Its state is one value, replaced as a whole: nobody sees a status without its result. */
type Entry = {
  readonly acceptedAt: number;
  /** Resolves, never rejects, when the command has ended. */
  readonly ended: PromiseWithResolvers<void>;
  readonly phases: PhaseTimer;
  /** For those who watch it. */
  readonly feed: CommandFeed;
  state: CommandResult;
};

export class CommandRegistry implements CommandDirectory {
  readonly #extensions: ReadonlyMap<string, Extension>;
  readonly #services: Services;
  readonly #log: Logger;
  /** By id, oldest first. */
  readonly #entries = new Map<string, Entry>();
  readonly #budget = new ResultBudget();
  readonly #listeners: ((ended: AsyncCommandEnded) => void)[] = [];
  /** Settles when the last request in line has been dealt with. */
  #turn: Promise<unknown> = Promise.resolve();
  /** The one command under way, sync or async. */
  #current: Entry | null = null;
  /** The one whose log lines are kept for those who come late. */
  #latest: Entry | null = null;
  readonly #stopping = new AbortController();

  constructor(extensions: readonly Extension[], services: Services) {
    this.#extensions = new Map(extensions.map((extension) => [extension.name, extension]));
    this.#services = services;
    this.#log = services.system.log.named("ironic_agent.commands");
  }

  /**
   * Runs a synchronous command to its end, or accepts an asynchronous one and returns it RUNNING.
   * Requests are strictly serialised: one that comes during a synchronous command waits for it.
   * @throws InvalidContentError, RequestedObjectNotFoundError, AgentIsBusy: refused, and nothing is recorded
   */
  execute(name: string, params: JsonObject): Promise<CommandResult> {
    const executed = this.#turn.then(() => this.#execute(name, params));
    // The error is the caller's; the next in line only wants to know that this one is over.
    this.#turn = executed.catch(() => undefined);
    return executed;
  }

  /** All results, oldest first. */
  results(): CommandResult[] {
    return [...this.#entries.values()].map((entry) => entry.state);
  }

  /** @throws RequestedObjectNotFoundError */
  get(id: string): CommandResult {
    return this.#entry(id).state;
  }

  /** The result once the command has ended. @throws RequestedObjectNotFoundError */
  async wait(id: string): Promise<CommandResult> {
    const entry = this.#entry(id);
    await entry.ended.promise;
    return entry.state;
  }

  /**
   * What happens in a command, as it happens: see CommandFeed.follow.
   * @throws RequestedObjectNotFoundError at once, not when the first event is asked for
   */
  follow(id: string, signal: AbortSignal, after = 0): AsyncIterable<CommandEvent> {
    return this.#entry(id).feed.follow(signal, after);
  }

  /**
   * Calls `listener` whenever an asynchronous command has ended, well or not, once its result can be read.
   */
  onAsyncCommandEnded(listener: (ended: AsyncCommandEnded) => void): void {
    this.#listeners.push(listener);
  }

  /** Accepts no further command, aborts the one under way and resolves when that has ended. */
  async stop(): Promise<void> {
    this.#stopping.abort(new CommandExecutionError("aborted because the agent is shutting down"));
    await this.#current?.ended.promise;
  }

  /** In the order given. */
  get extensions(): readonly Extension[] {
    return [...this.#extensions.values()];
  }

  extension(commandName: string): Extension {
    const [name] = splitName(commandName);
    const extension = this.#extensions.get(name);
    if (extension === undefined) throw new RequestedObjectNotFoundError("Extension", name);
    return extension;
  }

  async #execute(name: string, params: JsonObject): Promise<CommandResult> {
    const entry = this.#newEntry(name);
    if (this.#stopping.signal.aborted) throw new CommandExecutionError("the agent is shutting down");
    if (this.#current !== null) throw new AgentIsBusy(this.#current.state.command_name);
    const command = this.#find(name);
    this.#log.debug(`Executing ${name} with parameters`, shorten(params));
    let bound: BoundCommand;
    try {
      bound = this.#bind(command, name, params);
    } catch (error) {
      if (error instanceof InvalidContentError) throw error;
      // Well-formed, but it asks for something that is not there: the command's own failure.
      this.#record(entry);
      return this.#settle(entry, this.#failed(name, error));
    }
    this.#current = entry;
    this.#latest?.feed.forgetLines();
    this.#latest = entry;
    if (command.kind === "sync") return this.#runSync(name, bound, entry);
    // Listed before anything slow: a conductor that lost the answer looks for its command in the list.
    this.#record(entry);
    void this.#runAsync(name, bound, entry);
    return entry.state;
  }

  async #runSync(name: string, bound: BoundCommand, entry: Entry): Promise<CommandResult> {
    try {
      const outcome = await this.#watched(entry, () =>
        this.#perform("sync", name, bound, this.#context(entry)),
      );
      this.#record(entry);
      return this.#settle(entry, outcome);
    } finally {
      this.#current = null;
      entry.ended.resolve();
    }
  }

  /** Never rejects. */
  async #runAsync(name: string, bound: BoundCommand, entry: Entry): Promise<void> {
    const run = async (context: CommandContext) => {
      // The answer goes out before the work starts: powering off, for one, may leave no time for it later.
      await this.#services.system.clock.sleep(0, context.signal);
      return bound.run(context);
    };
    const outcome = await this.#watched(entry, () =>
      this.#perform("async", name, { ...bound, run }, this.#context(entry)),
    );
    this.#current = null;
    this.#settle(entry, outcome);
    for (const listener of this.#listeners) {
      try {
        listener({ result: entry.state, acceptedAt: entry.acceptedAt });
      } catch (error) {
        this.#log.error(`Reporting the end of ${name} failed`, error);
      }
    }
  }

  /** What is logged while the command runs goes to those who watch it, too. */
  #watched(entry: Entry, work: () => Promise<Outcome>): Promise<Outcome> {
    return this.#services.system.tapLog((record) => entry.feed.log(record), work);
  }

  /** The command is over: its result, for readers of the list, for those who wait and for those who watch. */
  #settle(entry: Entry, outcome: Outcome): CommandResult {
    entry.state = finalState(entry, outcome);
    this.#budget.add(entry);
    entry.phases.ended();
    entry.feed.end(entry.state);
    entry.ended.resolve();
    return entry.state;
  }

  /** Runs a command to its end. @throws InvalidContentError from a synchronous one: refused, not failed */
  async #perform(
    kind: Command["kind"],
    name: string,
    bound: BoundCommand,
    context: CommandContext,
  ): Promise<Outcome> {
    const timer = this.#services.metrics.timer(`ironic_python_agent.commands.${name}`);
    try {
      const outcome = success(kind, splitName(name)[1], await timer.time(() => bound.run(context)));
      this.#log.info(`Command ${name} succeeded with result`, shorten(outcome.command_result));
      return outcome;
    } catch (error) {
      if (kind === "sync" && error instanceof InvalidContentError) throw error;
      return this.#failed(name, error);
    }
  }

  #failed(name: string, error: unknown): Outcome {
    this.#log.error(`Command ${name} failed`, error);
    return failure(error);
  }

  #context(entry: Entry): CommandContext {
    const context: CommandContext = {
      services: this.#services,
      // One for each command, so that what listens to it goes with it.
      signal: AbortSignal.any([this.#stopping.signal]),
      report(progress) {
        // A late report must not touch the result of a command that has ended.
        if (entry.state.command_status !== "RUNNING") return;
        entry.state = { ...entry.state, command_progress: progress };
        entry.phases.reported(progress);
        entry.feed.progress(entry.state);
      },
      runChild: async (name, params) => {
        const child = this.#newEntry(name);
        const command = this.#find(name);
        const bound = this.#bind(command, name, params);
        const outcome = await this.#perform(command.kind, name, bound, {
          ...context,
          runChild: null,
        });
        return finalState(child, outcome);
      },
    };
    return context;
  }

  #newEntry(name: string): Entry {
    const id = crypto.randomUUID();
    const [, shortName] = splitName(name);
    const { clock } = this.#services.system;
    const state: CommandResult = {
      id,
      command_name: shortName,
      command_status: "RUNNING",
      command_error: null,
      command_result: null,
    };
    return {
      acceptedAt: clock.monotonic(),
      ended: Promise.withResolvers(),
      phases: new PhaseTimer(this.#services.metrics, clock),
      feed: new CommandFeed(state),
      state,
    };
  }

  #record(entry: Entry): void {
    this.#entries.set(entry.state.id, entry);
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new RequestedObjectNotFoundError("Command Result", id);
    return entry;
  }

  #find(name: string): Command {
    const [, shortName] = splitName(name);
    const command = this.extension(name).commands.get(shortName);
    if (command === undefined) throw new InvalidCommandError(`Unknown command: ${shortName}`);
    return command;
  }

  #bind(command: Command, name: string, params: JsonObject): BoundCommand {
    const bound = command.bind(params, this.#services, this);
    if (bound.ignored.length > 0)
      this.#log.warning(`Ignoring unknown parameters of ${name}: ${bound.ignored.join(", ")}`);
    return bound;
  }
}

/** What was known of the progress is gone. */
function finalState({ state }: Entry, outcome: Outcome): CommandResult {
  return { id: state.id, command_name: state.command_name, ...outcome };
}

/** `<extension>.<command>`; everything after the first dot is the command. @throws InvalidCommandError */
function splitName(name: string): [extension: string, command: string] {
  const dot = name.indexOf(".");
  if (dot < 0) throw new InvalidCommandError("Command name must be of the form <extension>.<name>");
  return [name.slice(0, dot), name.slice(dot + 1)];
}
