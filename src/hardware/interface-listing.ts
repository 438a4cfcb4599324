// The network interfaces of the machine as Ironic sees them: what is there, what LLDP tells of it, and the
// VLANs the operator wants on top. Rules: hardware specification 4.1, 4.5, 4.6.

import { mapLimited } from "../map-limited.ts";
import type { System } from "../system/system.ts";
import type { LldpData } from "./lldp.ts";
import type { NetworkInterface } from "./manager.ts";
import { interfaceNames } from "./network-interfaces.ts";
import { createVlan, requestedVlans } from "./vlan.ts";

export type ListingSources = {
  /** One interface; null if no manager can describe it. */
  readonly describe: (name: string) => Promise<NetworkInterface | null>;
  readonly collectLldp: (names: readonly string[]) => Promise<LldpData>;
  /** The option enable_vlan_interfaces. */
  readonly vlans: readonly string[];
  /** The option collect_lldp. */
  readonly lldp: boolean;
  /** Without LLDP, whatever the options say, and without complaints: somebody polls. */
  readonly quick: boolean;
};

/** In the kernel's order; VLANs made by this call come last. */
export async function listInterfaces(system: System, sources: ListingSources): Promise<NetworkInterface[]> {
  const { describe, vlans, quick } = sources;
  const names = await interfaceNames(system);
  const withLldp = sources.lldp && !quick;
  const nothing: LldpData = {};
  const [described, lldp] = await Promise.all([
    mapLimited(names, describe),
    withLldp ? sources.collectLldp(names) : nothing,
  ]);
  const interfaces: NetworkInterface[] = [];
  for (const found of described)
    if (found !== null) interfaces.push({ ...found, lldp: lldp[found.name] ?? found.lldp });

  const complain = quick ? system.log.debug : system.log.warning;
  const state = withLldp ? "collected" : sources.lldp ? "skipped" : "off";
  for (const vlan of requestedVlans(vlans, interfaces, state, complain)) {
    const name = await createVlan(system, vlan);
    const created = name === null ? null : await describe(name);
    if (created !== null) interfaces.push(created);
  }
  return interfaces;
}
