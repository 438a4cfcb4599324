// Host names to addresses, by the machine's own resolver (getaddrinfo: /etc/hosts, DNS, whatever nsswitch says).

import { lookup } from "node:dns/promises";

/** Addresses of `host` in the resolver's order, at least one. A literal address resolves to itself. @throws Error */
export type ResolveHost = (host: string) => Promise<string[]>;

export const realResolveHost: ResolveHost = async (host) => {
  try {
    const found = await lookup(host, { all: true });
    return found.map(({ address }) => address);
  } catch (error) {
    const reason = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new Error(`cannot resolve the host name ${host}: ${reason}`, { cause: error });
  }
};
