// Runs collectors beside each other and puts their keys together in the configured order, so that the data
// look the same whatever finished first.

import { errorText } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import type { Collector, CollectorContext } from "./collector.ts";
import type { Failures } from "./failures.ts";

export type NamedCollector = { readonly name: string; readonly collect: Collector };

/** Never rejects: what went wrong is the failure. */
type Outcome = { readonly data: JsonObject; readonly failure: string | null };

/**
 * The data of all collectors. One that fails is a failure with its name, and the others go on.
 * @throws the reason of `context.signal`
 */
export async function collectData(
  collectors: readonly NamedCollector[],
  context: Omit<CollectorContext, "collectors" | "earlier">,
  failures: Failures,
): Promise<JsonObject> {
  const names = collectors.map(({ name }) => name);
  const outcomes: Promise<Outcome>[] = [];
  for (const { name, collect } of collectors) {
    const earlier = Promise.all(outcomes);
    outcomes.push(run(name, collect, { ...context, collectors: names, earlier }));
  }
  const data: JsonObject = {};
  for (const outcome of await Promise.all(outcomes)) {
    Object.assign(data, outcome.data);
    if (outcome.failure !== null) failures.add(outcome.failure);
  }
  context.signal.throwIfAborted();
  return data;
}

async function run(name: string, collect: Collector, context: CollectorContext): Promise<Outcome> {
  const { clock, log } = context.system;
  const started = clock.monotonic();
  try {
    const data = await collect(context);
    log.debug(`collector ${name} took ${(clock.monotonic() - started).toFixed(3)} s`);
    return { data, failure: null };
  } catch (error) {
    log.error(`collector ${name} failed`, error);
    return { data: {}, failure: `collector ${name} failed: ${errorText(error)}` };
  }
}
