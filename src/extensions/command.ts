// Commands as data: a parameter schema and a function. What a definition cannot hold (busy rule, results,
// logging, …) is the registry's, so that an extension's file says only what its commands mean.

import type { Static, TObject } from "@sinclair/typebox";
import type { JsonObject } from "../json.ts";
import type { ReportProgress } from "../progress.ts";
import type { CommandResult } from "./command-result.ts";
import { checkParams } from "./params.ts";
import type { Services } from "./services.ts";

/** What a running command may use. */
export type CommandContext = {
  readonly services: Services;
  /** Aborted when the agent is told to end. */
  readonly signal: AbortSignal;
  /** Published as `command_progress` while an asynchronous command runs. */
  readonly report: ReportProgress;
  /**
   * Runs another command, to its end, as a part of this one: unlisted, and not subject to the busy rule. Null in a command
   * that is itself a part of another: that one is under way.
   */
  readonly runChild: ((name: string, params: JsonObject) => Promise<CommandResult>) | null;
};

/** Finds commands by their full name; validators of commands that run other commands use it. */
export interface CommandDirectory {
  /** @throws InvalidCommandError for a malformed name, RequestedObjectNotFoundError if there is none. */
  extension(commandName: string): Extension;
}

export type CommandDefinition<P extends TObject> = {
  /** One sentence for the API reference: what it does. */
  readonly summary?: string;
  readonly params: P;
  /** `pass` hands members the schema does not name to `run` as `others`; else a warning. */
  readonly unknownParams?: "ignore" | "pass";
  /** Refuses right types with wrong content. @throws InvalidContentError → HTTP 400, nothing recorded */
  readonly validate?: (params: Static<P>, services: Services, directory: CommandDirectory) => void;
  /** Resolves to the result, anything JSON can hold; undefined is null, text is wrapped (outcome.ts). */
  readonly run: (context: CommandContext, params: Static<P>, others: JsonObject) => Promise<unknown>;
};

/** A command ready to run with parameters that passed. */
export type BoundCommand = {
  /** Names of parameters that nobody reads. */
  readonly ignored: readonly string[];
  readonly run: (context: CommandContext) => Promise<unknown>;
};

export type Command = {
  readonly summary: string | null;
  readonly params: TObject;
  /** True if parameters that `params` does not name have a meaning too. */
  readonly takesOthers: boolean;
  /** Sync: the POST's answer holds the final status. Async: it answers RUNNING and the work goes on. */
  readonly kind: "sync" | "async";
  /** @throws InvalidCommandParamsError naming each missing or wrong parameter */
  readonly bind: (params: JsonObject, services: Services, directory: CommandDirectory) => BoundCommand;
};

export type Extension = {
  readonly name: string;
  readonly commands: ReadonlyMap<string, Command>;
};

export function defineExtension(name: string, commands: Readonly<Record<string, Command>>): Extension {
  return { name, commands: new Map(Object.entries(commands)) };
}

/** For work that ends well inside the conductor's 60 s. */
export function syncCommand<P extends TObject>(definition: CommandDefinition<P>): Command {
  return command("sync", definition);
}

/** For everything else: the conductor learns of the end from the command list, at the next heartbeat. */
export function asyncCommand<P extends TObject>(definition: CommandDefinition<P>): Command {
  return command("async", definition);
}

function command<P extends TObject>(kind: Command["kind"], definition: CommandDefinition<P>): Command {
  return {
    summary: definition.summary ?? null,
    params: definition.params,
    takesOthers: definition.unknownParams === "pass",
    kind,
    bind(params, services, directory) {
      const { known, others } = checkParams(definition.params, params);
      definition.validate?.(known, services, directory);
      return {
        ignored: definition.unknownParams === "pass" ? [] : Object.keys(others),
        run: (context) => definition.run(context, known, others),
      };
    },
  };
}
