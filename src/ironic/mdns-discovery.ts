// Finds Ironic and its inspection service by multicast DNS and takes the options that the answer may set.
// Source: control-plane specification 2.9 with DEV-10 and DEV-11.

import type { Config } from "../config/config.ts";
import { OPTIONS, type OptionName, optionSpec } from "../config/options.ts";
import { InvalidValueError, parseValue } from "../config/values.ts";
import { errorText, ServiceLookupFailure } from "../errors.ts";
import type { System } from "../system/system.ts";
import { parseRouteSource, routeTo } from "./advertise-address.ts";
import { type FoundService, findService } from "./mdns-query.ts";

const ORIGIN = "multicast DNS";
/** The value of an option for a URL that asks for the search. */
const SEARCH = "mdns";
/** Entries of the text record that are part of the URL. */
const URL_ENTRIES = new Set(["protocol", "path"]);
const OPTION_PREFIX = "ipa_";

/**
 * Sets api_url when it is "mdns", or unset with [mdns] use_mdns. Only in the latter case is it fine to find nothing.
 * @throws ServiceLookupFailure; the signal's reason
 */
export async function discoverIronic(system: System, config: Config, signal: AbortSignal): Promise<void> {
  const url = config.get("api_url");
  if (url !== null ? url.toLowerCase() !== SEARCH : !config.get("mdns.use_mdns")) return;
  try {
    await discover(system, config, "baremetal", "api_url", "", signal);
  } catch (error) {
    if (url !== null || !(error instanceof ServiceLookupFailure)) throw error;
    system.log.warning(
      `Ironic was not found, so this agent neither looks its node up nor heartbeats: ${errorText(error)}`,
    );
  }
}

/** Sets inspection_callback_url when it is "mdns". @throws ServiceLookupFailure; the signal's reason */
export async function discoverInspection(system: System, config: Config, signal: AbortSignal): Promise<void> {
  if (config.get("inspection_callback_url")?.toLowerCase() !== SEARCH) return;
  const service = "baremetal-introspection";
  await discover(system, config, service, "inspection_callback_url", "/v1/continue", signal);
}

async function discover(
  system: System,
  config: Config,
  service: string,
  option: "api_url" | "inspection_callback_url",
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const search = { attempts: config.get("mdns.lookup_attempts"), interfaces: config.get("mdns.interfaces") };
  const found = await findService(system, service, search, signal);
  if (found === null)
    throw new ServiceLookupFailure(
      service,
      `nobody answered (attempts: ${search.attempts}). Is [mdns] enabled on the server, and is it on a network of this machine?`,
    );
  const url = `${serviceUrl(service, found, await chooseAddress(system, service, found, signal))}${path}`;
  system.log.info(`Found the service ${service} at ${url}`);
  config.override(option, url, ORIGIN);
  applyOverrides(system, config, found.text);
}

/** The first address there is a route to; if there is none to any, the first one, which may work later. */
async function chooseAddress(
  system: System,
  service: string,
  { addresses }: FoundService,
  signal: AbortSignal,
): Promise<string> {
  const usable = addresses.filter((address) => !isLoopback(address));
  const [first] = usable;
  if (first === undefined)
    throw new ServiceLookupFailure(service, `the answer has no usable address: ${addresses.join(", ")}`);
  for (const address of usable) {
    try {
      if (parseRouteSource(await routeTo(system, address, signal)) !== null) return address;
    } catch (error) {
      signal.throwIfAborted();
      system.log.debug(`No route to ${address}: ${errorText(error)}`);
    }
  }
  system.log.warning(`There is no route to any address of the service ${service}; taking ${first}`);
  return first;
}

/** @throws ServiceLookupFailure when the answer makes no URL */
export function serviceUrl(service: string, { target, port, text }: FoundService, address: string): string {
  const protocol = text.get("protocol") ?? (port === 80 ? "http" : "https");
  const host = target.endsWith(".local") ? (address.includes(":") ? `[${address}]` : address) : target;
  const path = (text.get("path") ?? "").replace(/^(?=[^/])/, "/").replace(/\/+$/, "");
  const url = `${protocol}://${host}:${port}${path}`;
  const sound = /^https?:\/\/(\[[\da-f:.]+\]|[\w.-]+):\d+(\/[^\s?#]*)?$/i.test(url) && URL.canParse(url);
  if (!sound) throw new ServiceLookupFailure(service, `the answer makes no URL: ${JSON.stringify(url)}`);
  return url;
}

/** Nothing in the answer is fatal: it comes from somebody else, who may be of another release. */
function applyOverrides(system: System, config: Config, text: ReadonlyMap<string, string>): void {
  const allowed = new Set(config.get("mdns.allowed_overrides"));
  for (const [entry, value] of text) {
    if (URL_ENTRIES.has(entry)) continue;
    const name = entry.startsWith(OPTION_PREFIX) ? entry.slice(OPTION_PREFIX.length) : null;
    const refusal = name === null ? `it does not begin with ${OPTION_PREFIX}` : reasonToRefuse(name, allowed);
    if (name === null || refusal !== null)
      system.log.warning(`The answer of multicast DNS sets ${entry}, which is ignored: ${refusal}`);
    else override(system, config, name as OptionName, value);
  }
}

function reasonToRefuse(name: string, allowed: ReadonlySet<string>): string | null {
  if (!Object.hasOwn(OPTIONS, name) || name.includes(".")) return "there is no such option";
  if (!allowed.has(name)) return "it is not in [mdns] allowed_overrides";
  // Anybody on the network can answer and everybody can read it.
  return optionSpec(name as OptionName).secret ? "secrets are not taken from the network" : null;
}

function override(system: System, config: Config, name: OptionName, text: string): void {
  try {
    config.override(name, parseValue(optionSpec(name), text) as never, ORIGIN);
    system.log.info(`The answer of multicast DNS sets ${name} to ${text}`);
  } catch (error) {
    if (!(error instanceof InvalidValueError)) throw error;
    system.log.warning(
      `The answer of multicast DNS sets ${name} to ${JSON.stringify(text)}, which is ignored: ${error.message}`,
    );
    return;
  }
  if (name === "debug") system.setLogDebug(config.get("debug"));
}

function isLoopback(address: string): boolean {
  return /^127\.|^::1$/.test(address);
}
