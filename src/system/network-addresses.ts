// The addresses of this machine as the C library tells them: for programs that must ask before, or without, iproute2.

import { networkInterfaces } from "node:os";

export type NetworkAddress = {
  /** Name of the interface. */
  readonly interface: string;
  readonly family: "IPv4" | "IPv6";
  /** Without prefix length and without zone. */
  readonly address: string;
  /** It is the machine's own loop. */
  readonly loopback: boolean;
};

export type NetworkAddresses = () => NetworkAddress[];

export const realNetworkAddresses: NetworkAddresses = () =>
  Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    (addresses ?? []).map(({ family, address, internal }) => ({
      interface: name,
      family,
      address: address.replace(/%.*$/, ""),
      loopback: internal,
    })),
  );
