// A plug-in as a hardware manager: it has exactly the methods that the plug-in has, checks what comes back, and decides what a failure
// of foreign code means for the question.

import { errorText, IncompatibleHardwareMethodError } from "../../errors.ts";
import type { Json } from "../../json.ts";
import type { Step, StepDescription } from "../../steps/step.ts";
import type { Logger } from "../../system/log.ts";
import type { HardwareManager, Work } from "../manager.ts";
import { wireName } from "../wire-name.ts";
import type { PluginBackend, PluginDescription } from "./backend.ts";
import { isPluginMethod, PLUGIN_METHODS, type PluginMethod, type PluginMethodName } from "./methods.ts";
import { checked, type ListedStep } from "./schemas.ts";

type Asked = {
  readonly description: PluginDescription;
  readonly backend: PluginBackend;
  readonly log: Logger;
};

export function createPluginManager(asked: Asked): HardwareManager {
  const { description, backend } = asked;
  const known = description.methods.filter(isPluginMethod);
  const own = description.methods.filter((method) => !isPluginMethod(method));
  return {
    className: description.className,
    name: description.name,
    version: description.version,
    evaluateHardwareSupport: () => backend.evaluate(),
    ...(description.initializes ? { initialize: (signal?: AbortSignal) => backend.initialize(signal) } : {}),
    async steps(kind, node, ports): Promise<readonly Step[]> {
      const listed = await backend.listSteps(kind, node, ports);
      return listed.map((step) => ({
        ...describe(step),
        run: (context, args) => backend.runStep(kind, step, context, args),
      }));
    },
    ownMethods: Object.fromEntries(
      own.map((method) => [
        method,
        (args: Json[], work: Partial<Work>) => backend.answerOwn(method, args, work),
      ]),
    ),
    ...Object.fromEntries(
      known.map((method) => [method, (...args: unknown[]) => askPlugin(asked, method, args)]),
    ),
  };
}

function describe({ timeout: _, argsinfo, ...step }: ListedStep): StepDescription {
  if (argsinfo === undefined) return step;
  const complete = Object.entries(argsinfo).map(
    ([name, { description, required = false }]) => [name, { description, required }] as const,
  );
  return { ...step, argsinfo: Object.fromEntries(complete) };
}

/** @throws IncompatibleHardwareMethodError where the next manager's answer will do instead */
async function askPlugin(
  { description, backend, log }: Asked,
  name: PluginMethodName,
  given: readonly unknown[],
): Promise<unknown> {
  const method: PluginMethod = PLUGIN_METHODS[name];
  const { args, work } = splitArguments(given);
  try {
    const answer = await backend.answer(name, args, work);
    return checked(method.result(args), answer, `${description.className}.${wireName(name)}`);
  } catch (error) {
    if (error instanceof IncompatibleHardwareMethodError || method.onFailure === "fail") throw error;
    if (work.signal?.aborted) throw error;
    const what = `${description.className} failed in ${wireName(name)}: ${errorText(error)}`;
    if (method.onFailure === "hide disks" && args[1] === "disk") {
      log.error(`${what}; the disk stays hidden, because the plug-in might have hidden it`);
      return null;
    }
    log.error(`${what}; the next hardware manager is asked instead`);
    throw new IncompatibleHardwareMethodError(what);
  }
}

/** Takes the arguments apart that cannot leave this process: a signal, or the means of long work. */
function splitArguments(given: readonly unknown[]): { args: Json[]; work: Partial<Work> } {
  const args: Json[] = [];
  let work: Partial<Work> = {};
  for (const argument of given) {
    if (argument instanceof AbortSignal) work = { signal: argument };
    else if (isWork(argument)) work = argument;
    else args.push((argument ?? null) as Json);
  }
  return { args, work };
}

function isWork(argument: unknown): argument is Work {
  return (
    typeof argument === "object" &&
    argument !== null &&
    "signal" in argument &&
    argument.signal instanceof AbortSignal
  );
}
