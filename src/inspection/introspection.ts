// The program ironic-collect-introspection-data: inspects the machine it runs on without being an agent,
// once, or again and again so that the data of a machine in use stay fresh. Source: control-plane
// specification 8.6 with DEV-27.

import type { Config } from "../config/config.ts";
import { errorText } from "../errors.ts";
import type { HardwareManagers } from "../hardware/managers.ts";
import type { Logger } from "../system/log.ts";
import type { System } from "../system/system.ts";
import { configuredInspector } from "./at-start-up.ts";
import { inspect } from "./inspect.ts";

/** Limits of the factor by which a sleep differs from the interval at random. */
const LEAST_JITTER = 0.7;
const MOST_JITTER = 1.2;
/** By what the interval grows with each failure, and how many configured intervals it is at most. */
const BACK_OFF = 2.7;
const MOST_INTERVALS = 4;

export type IntrospectionContext = {
  readonly system: System;
  readonly config: Config;
  /** New ones for each inspection: they remember what they have seen. */
  readonly loadManagers: () => Promise<HardwareManagers>;
};

/**
 * Returns the exit code. A daemon ends only with `signal`, or when its first inspection fails. Not everything in an inspection can be
 * interrupted (LLDP alone is listened for half a minute): being told to stop does not wait for it.
 */
export async function collectIntrospectionData(
  context: IntrospectionContext,
  signal: AbortSignal,
): Promise<number> {
  const stopped = Promise.withResolvers<number>();
  signal.addEventListener("abort", () => stopped.resolve(0), { once: true });
  return Promise.race([inspectAndRepeat(context, signal), stopped.promise]);
}

async function inspectAndRepeat(context: IntrospectionContext, signal: AbortSignal): Promise<number> {
  const { system, config } = context;
  const log = system.log.named("ironic_agent.inspection");
  if (config.get("inspection_callback_url") === null && config.get("mdns.use_mdns"))
    config.override("inspection_callback_url", "mdns", "[mdns] use_mdns");
  try {
    if (!(await inspectOnce(context, log, signal))) return 0;
  } catch (error) {
    if (signal.aborted) return 0;
    log.error(`Inspection failed: ${errorText(error)}`);
    return 1;
  }
  if (config.get("introspection_daemon")) await repeat(context, log, signal);
  return 0;
}

/** False, with a warning, if nothing is configured. */
async function inspectOnce(
  context: IntrospectionContext,
  log: Logger,
  signal: AbortSignal,
): Promise<boolean> {
  const { system, config } = context;
  const inspector = await configuredInspector(system, config, signal);
  if (inspector === null) {
    log.warning(
      "nothing is inspected: neither inspection_callback_url is set, nor [mdns] use_mdns to look for the service, " +
        "nor inspection_collectors and api_url to send the data to Ironic",
    );
    return false;
  }
  await inspect({ system, config, inspector, managers: await context.loadManagers() }, signal);
  return true;
}

async function repeat(context: IntrospectionContext, log: Logger, signal: AbortSignal): Promise<void> {
  const { clock } = context.system;
  const configured = context.config.get("introspection_daemon_post_interval");
  let interval = configured;
  while (!signal.aborted) {
    try {
      await clock.sleep(interval * clock.uniform(LEAST_JITTER, MOST_JITTER), signal);
      await inspectOnce(context, log, signal);
      interval = configured;
    } catch (error) {
      if (signal.aborted) return;
      interval = Math.min(interval * BACK_OFF, MOST_INTERVALS * configured);
      log.error(`Inspection failed, the next one is in about ${Math.round(interval)} s: ${errorText(error)}`);
    }
  }
}
