// What a TypeScript plug-in may ask of the agent: other managers' answers, the disk to install to, the step below its own.

import { HardwareManagerMethodNotFound } from "../../errors.ts";
import { isJsonObject, type Json } from "../../json.ts";
import type { StepContext } from "../../steps/step.ts";
import type { HardwareManager, ManagerContext, Work } from "../manager.ts";
import { wireName } from "../wire-name.ts";
import { isPluginMethod, type PluginMethodName } from "./methods.ts";
import type { Serve } from "./rpc.ts";

export type RequestScope = {
  readonly context: ManagerContext;
  /** The plug-in as the framework knows it; null while it is loaded. */
  readonly self: () => HardwareManager | null;
  /** Of the question the plug-in is answering: what it asks meanwhile is a part of that. */
  readonly work: Partial<Work>;
  readonly step: StepContext | undefined;
};

export function servePluginRequests({ context, self, work, step }: RequestScope): Serve {
  return async (asked, params) => {
    const given = isJsonObject(params) ? params : {};
    const name = typeof given.method === "string" ? given.method : "";
    const args = Array.isArray(given.args) ? given.args : [];
    switch (asked) {
      case "dispatch":
        return ask(name, args, work, (method, all) => context.dispatch(method, ...all));
      case "next":
        return ask(name, args, work, (method, all) => {
          const manager = self();
          if (manager === null) throw new HardwareManagerMethodNotFound(wireName(name));
          return context.dispatchAfter(manager, method, ...all);
        });
      case "own":
        return context.dispatchOwn(name, args, work);
      case "installDevice":
        return step?.installDevice({ refresh: given.refresh === true }) ?? null;
      case "runNext":
        return step?.next?.(isJsonObject(given.args) ? given.args : {}) ?? null;
      default:
        throw new HardwareManagerMethodNotFound(asked);
    }
  };
}

function ask(
  name: string,
  given: readonly Json[],
  work: Partial<Work>,
  dispatch: (method: PluginMethodName, args: never) => Promise<unknown>,
): Promise<unknown> {
  if (!isPluginMethod(name)) throw new HardwareManagerMethodNotFound(wireName(name));
  // What was left out in the plug-in arrives as null.
  const args = given.slice(0, given.findLastIndex((argument) => argument !== null) + 1);
  // The arguments come from outside and are as right or wrong as the plug-in's author made them.
  return dispatch(name, withWork(name, args, work) as never);
}

/** The means of long work cannot come from the plug-in's process; they are those of the question it is answering. */
function withWork(name: PluginMethodName, args: readonly Json[], work: Partial<Work>): readonly unknown[] {
  if (name === "waitForDisks" || name === "collectSystemLogs") return [work.signal];
  if (name === "collectLldpData") return [args[0] ?? [], work.signal];
  if (name === "eraseBlockDevice" && work.signal !== undefined)
    return [args[0], args[1], { signal: work.signal, report: work.report ?? (() => undefined) }];
  return args;
}
