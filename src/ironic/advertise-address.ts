// Under which address Ironic reaches this agent: a configured one, that of a configured interface, or the source address
// of the route to Ironic, which is right on machines with several networks where "the first address" is not.
// Source: control-plane specification 5.6 and DEV-1.

import type { Config } from "../config/config.ts";
import { errorText, HardwareManagerMethodNotFound, LookupAgentIPError } from "../errors.ts";
import type { System } from "../system/system.ts";

/** IPv4 address of an interface, or null while it has none. Throws HardwareManagerMethodNotFound if there is no such interface. */
export type InterfaceAddress = (interfaceName: string) => Promise<string | null>;

/**
 * The host for the callback URL: an address without brackets, or the name an operator configured.
 * `apiUrls` finds out where Ironic answers now, the working URL first; asked before each attempt that needs it.
 * @throws LookupAgentIPError after all attempts; the signal's reason.
 */
export async function findAdvertisedHost(
  system: System,
  config: Config,
  apiUrls: () => Promise<readonly string[]>,
  interfaceAddress: InterfaceAddress,
  signal: AbortSignal,
): Promise<string> {
  const configured = config.get("advertise_host");
  if (configured !== null) return configured.replace(/^\[(.*)\]$/, "$1");
  const interfaceName = config.get("network_interface");
  const attempts = config.get("ip_lookup_attempts");
  let reason = "";
  for (let attempt = 1; attempt <= attempts; attempt++) {
    if (attempt > 1) await system.clock.sleep(config.get("ip_lookup_sleep"), signal);
    try {
      return interfaceName === null
        ? await routeSource(system, await apiUrls(), signal)
        : await addressOf(interfaceName, interfaceAddress);
    } catch (error) {
      signal.throwIfAborted();
      reason = errorText(error);
      system.log.warning(`Finding the address to advertise, attempt ${attempt} of ${attempts}: ${reason}`);
    }
  }
  const advice = "Set advertise_host (kernel parameter ipa-advertise-host) to name the address.";
  throw new LookupAgentIPError(
    `Agent could not find an address that Ironic can reach it at: ${reason}. ${advice}`,
  );
}

/** `http://192.0.2.7:9999`, IPv6 literals in brackets, no slash at the end. */
export function callbackUrl(protocol: "http" | "https", host: string, port: number): string {
  return `${protocol}://${host.includes(":") ? `[${host}]` : host.toLowerCase()}:${port}`;
}

/** The address after `src` on the first line of `ip route get`, or null. */
export function parseRouteSource(output: string): string | null {
  return /\bsrc (\S+)/.exec(output.split("\n")[0] ?? "")?.[1] ?? null;
}

async function addressOf(interfaceName: string, interfaceAddress: InterfaceAddress): Promise<string> {
  const address = await interfaceAddress(interfaceName).catch((error: unknown) => {
    if (!(error instanceof HardwareManagerMethodNotFound)) throw error;
    throw new Error(`there is no network interface ${interfaceName} (network_interface)`, { cause: error });
  });
  if (address === null) throw new Error(`network_interface ${interfaceName} has no IPv4 address`);
  return address;
}

/** Source address of the route to the first address of an API host that has a usable one. */
async function routeSource(system: System, apiUrls: readonly string[], signal: AbortSignal): Promise<string> {
  const reasons: string[] = [];
  const tried = async <T>(attempt: () => Promise<T>): Promise<T | null> => {
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      reasons.push(errorText(error));
      return null;
    }
  };
  for (const url of apiUrls) {
    const host = new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");
    for (const address of (await tried(() => system.resolveHost(host))) ?? []) {
      const route = await tried(() => routeTo(system, address, signal));
      if (route === null) continue;
      const source = parseRouteSource(route);
      if (source !== null && !isLinkLocal(source)) return source;
      reasons.push(`the route to ${address} has ${source === null ? "no" : "the link-local"} source address`);
    }
  }
  throw new Error(reasons.join("; "));
}

/** What `ip route get` says of an address. @throws ProgramFailedError when there is no route */
export async function routeTo(system: System, address: string, signal: AbortSignal): Promise<string> {
  return (await system.run(["ip", "route", "get", address], { timeout: 10, signal })).stdout;
}

/** Other machines cannot use these without knowing the link. */
function isLinkLocal(address: string): boolean {
  return /^169\.254\.|^fe[89ab][0-9a-f]:/i.test(address);
}
