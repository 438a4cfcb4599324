// One inspection: collect what is configured, post it, learn which node this machine is.
// Source: control-plane specification 8.1, 8.5; conductor contract 8.

import type { Config } from "../config/config.ts";
import type { HardwareManagers } from "../hardware/managers.ts";
import { describeInspectorFailure, type Inspector, parseNodeUuid } from "../ironic/inspector.ts";
import type { JsonObject } from "../json.ts";
import type { System } from "../system/system.ts";
import { collectData, type NamedCollector } from "./collect.ts";
import { COLLECTORS, DEFAULT_COLLECTORS } from "./collectors.ts";
import { Failures } from "./failures.ts";

/**
 * The data were posted, but the inspection failed: something could not be collected, or the data were
 * refused.
 */
export class InspectionError extends Error {}

export type InspectionContext = {
  readonly system: System;
  readonly config: Config;
  readonly managers: HardwareManagers;
  readonly inspector: Inspector;
};

/**
 * Returns the node's UUID if the answer tells it. What could not be collected is posted all the same, with
 * the reasons in `error`.
 * @throws InspectionError when something could not be collected or the data were refused; HttpError or
 *   InspectorUnavailableError when they could not be delivered; the reason of `signal`
 */
export async function inspect(context: InspectionContext, signal: AbortSignal): Promise<string | null> {
  const { inspector } = context;
  const log = context.system.log.named("ironic_agent.inspection");
  const failures = new Failures();
  const collectors = loadCollectors(
    context.config.get("inspection_collectors") ?? DEFAULT_COLLECTORS,
    failures,
  );
  const data = collectors === null ? {} : await collectData(collectors, { ...context, signal }, failures);
  const error = failures.text();
  log.info(`posting inspection data to ${inspector.urls.join(", ")}`);
  const answer = await inspector.post({ ...data, error } satisfies JsonObject, signal);
  // A redirect that is left here is one that a POST does not follow.
  if (answer.status >= 300) {
    log.error(`the inspection data were refused: ${describeInspectorFailure(answer)}`);
    throw new InspectionError(
      `stopping inspection, as inspector returned an error: ${describeInspectorFailure(answer)}`,
    );
  }
  if (error !== null) throw new InspectionError(error);
  const uuid = parseNodeUuid(answer);
  log.info(uuid === null ? "inspected; the answer names no node" : `inspected as node ${uuid}`);
  return uuid;
}

/**
 * Null, with the reference's text among the failures, if one of them does not exist: then nothing is
 * collected.
 */
function loadCollectors(names: readonly string[], failures: Failures): NamedCollector[] | null {
  const loaded = names.map((name) => ({
    name,
    collect: Object.hasOwn(COLLECTORS, name) ? COLLECTORS[name] : undefined,
  }));
  const known = loaded.filter((collector): collector is NamedCollector => collector.collect !== undefined);
  if (known.length === loaded.length) return known;
  const unknown = new Set(names.filter((name) => !Object.hasOwn(COLLECTORS, name)));
  failures.add(`Failed to load collector {${[...unknown].map((name) => `'${name}'`).join(", ")}}`);
  return null;
}
