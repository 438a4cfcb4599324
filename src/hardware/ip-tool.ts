// iproute2's view of the interfaces: the addresses, in the kernel's order, and the burned-in MAC address.

import { isJsonObject, type Json } from "../json.ts";
import type { System } from "../system/system.ts";

/** Bytes: a few thousand interfaces. */
const MAX_OUTPUT = 16 * 1024 * 1024;

export type LinkAddresses = {
  /** In the kernel's order: by scope, link-local last. Without prefix length. */
  readonly ipv4: readonly string[];
  /** Of the IPv4 addresses, in the same order. */
  readonly ipv4PrefixLengths: readonly number[];
  readonly ipv6: readonly { readonly address: string; readonly linkLocal: boolean }[];
  /**
   * Lower case; null when it is the current one, or the driver knows none: the kernel reports it from 5.6 on,
   * iproute2 prints it where it differs.
   */
  readonly permanentMac: string | null;
};

/**
 * By interface name.
 * @throws ProgramMissingError, ProgramFailedError (busybox's `ip` has no JSON), SyntaxError
 */
export async function readLinkAddresses(system: System): Promise<Map<string, LinkAddresses>> {
  const { stdout } = await system.run(["ip", "-j", "addr"], { maxOutput: MAX_OUTPUT });
  return parseLinkAddresses(stdout);
}

/** @throws SyntaxError if `text` is not JSON; records that make no sense are left out */
export function parseLinkAddresses(text: string): Map<string, LinkAddresses> {
  const document: unknown = JSON.parse(text);
  const links = new Map<string, LinkAddresses>();
  for (const link of recordsOf(document)) {
    if (typeof link.ifname !== "string") continue;
    const addresses = recordsOf(link.addr_info).flatMap(({ family, local, scope, prefixlen }) =>
      typeof local === "string"
        ? [{ family, address: local, linkLocal: scope === "link", prefixLength: Number(prefixlen ?? 32) }]
        : [],
    );
    const ipv4 = addresses.filter(({ family }) => family === "inet");
    const permanent = link.permaddr;
    links.set(link.ifname, {
      ipv4: ipv4.map(({ address }) => address),
      ipv4PrefixLengths: ipv4.map(({ prefixLength }) => prefixLength),
      ipv6: addresses
        .filter(({ family }) => family === "inet6")
        .map(({ address, linkLocal }) => ({ address, linkLocal })),
      permanentMac:
        typeof permanent === "string" && /[1-9a-f]/i.test(permanent) ? permanent.toLowerCase() : null,
    });
  }
  return links;
}

function recordsOf(value: unknown): { [key: string]: Json }[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}
