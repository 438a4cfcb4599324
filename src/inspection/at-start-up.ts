// Whether and where this machine is inspected, for those who start an inspection.
// Source: control-plane specification 8.1.

import type { Config } from "../config/config.ts";
import { errorText } from "../errors.ts";
import type { HardwareManagers } from "../hardware/managers.ts";
import { splitUrls } from "../ironic/api-client.ts";
import { continueInspectionUrls, Inspector } from "../ironic/inspector.ts";
import { discoverInspection } from "../ironic/mdns-discovery.ts";
import type { System } from "../system/system.ts";
import { InspectionError, inspect } from "./inspect.ts";

export type InspectedMachine = {
  readonly system: System;
  readonly config: Config;
  readonly managers: HardwareManagers;
};

/**
 * Where the data go: the configured URL (found by multicast DNS if it says so); else Ironic's API, if
 * collectors are configured. Null: there is to be no inspection.
 * @throws ServiceLookupFailure, ConfigurationError; the signal's reason
 */
export async function configuredInspector(
  system: System,
  config: Config,
  signal: AbortSignal,
): Promise<Inspector | null> {
  await discoverInspection(system, config, signal);
  const callback = splitUrls(config.get("inspection_callback_url"));
  if (callback.length > 0)
    return Inspector.create(system, config, { urls: callback, option: "inspection_callback_url" });
  if ((config.get("inspection_collectors") ?? []).length === 0) return null;
  const apiUrls = splitUrls(config.get("api_url")).filter((url) => url.toLowerCase() !== "mdns");
  const urls = continueInspectionUrls(apiUrls);
  return urls.length === 0 ? null : Inspector.create(system, config, { urls, option: "api_url" });
}

/**
 * The inspection of a starting agent. The node's UUID, if it was told; a failed inspection is no reason not
 * to look the node up, and only logged.
 * @throws what `inspect` throws when the data could not be delivered, and what `configuredInspector` throws
 */
export async function inspectAtStartUp(
  machine: InspectedMachine,
  signal: AbortSignal,
): Promise<string | null> {
  const inspector = await configuredInspector(machine.system, machine.config, signal);
  if (inspector === null) return null;
  try {
    return await inspect({ ...machine, inspector }, signal);
  } catch (error) {
    if (!(error instanceof InspectionError)) throw error;
    machine.system.log.error(`The inspection failed, going on to the lookup: ${errorText(error)}`);
    return null;
  }
}
