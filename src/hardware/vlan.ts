// VLAN interfaces that the operator asked for: by name, or whatever the switches say their ports carry.
// Nothing here is fatal: a machine with one wrong VLAN can still be looked up on its other interfaces.
// Rules: control-plane specification 5.8, hardware specification 4.6.

import { errorText } from "../errors.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { advertisedVlans, type LldpTlvs } from "./lldp.ts";

/**
 * iproute2's exit code when the kernel refuses, which it also does for an interface that is there already.
 */
const KERNEL_REFUSED = 2;

/** An interface as the listing shows it. */
export type VlanParent = {
  readonly name: string;
  readonly mac_address: string;
  readonly lldp: LldpTlvs | null;
};

export type VlanRequest = { readonly parent: string; readonly id: number };

/**
 * `lldp`: collected now; `skipped`: left out this time, which is no reason to complain; `off`: not
 * configured.
 */
export type LldpState = "collected" | "skipped" | "off";

/**
 * Which VLANs `enable_vlan_interfaces` means on these interfaces; each once, those that exist left out.
 * Items: `IF.VID` (IF may be a MAC address), `IF` and `all` (the VLANs that LLDP tells).
 */
export function requestedVlans(
  setting: readonly string[],
  interfaces: readonly VlanParent[],
  lldp: LldpState,
  warn: (message: string) => void,
): VlanRequest[] {
  const existing = new Set(interfaces.map(({ name }) => name));
  const wanted = new Map<string, VlanRequest>();
  const add = (parent: string, id: number) => {
    const name = vlanName({ parent, id });
    if (!existing.has(name)) wanted.set(name, { parent, id });
  };
  for (const item of setting) {
    const [, parent, digits] = /^(.+)\.(\d+)$/.exec(item) ?? [];
    if (parent !== undefined && digits !== undefined) {
      const name = nameOf(parent, interfaces);
      if (name === null) warn(`VLAN ${item} is not created: there is no interface ${parent}`);
      else if (!isVlanId(Number(digits)))
        warn(`VLAN ${item} is not created: ${digits} is no VLAN id (1–4094)`);
      else add(name, Number(digits));
      continue;
    }
    if (item.includes(".")) {
      warn(`enable_vlan_interfaces: ${item} is neither an interface nor of the form INTERFACE.VLAN`);
      continue;
    }
    if (lldp === "skipped") continue;
    if (lldp === "off") {
      warn(`enable_vlan_interfaces: ${item} needs to know the VLANs from LLDP: set collect_lldp, too`);
      continue;
    }
    const parents = interfaces.filter(({ name }) => item === "all" || name === item);
    if (parents.length === 0) warn(`no VLANs are created on ${item}: there is no such interface`);
    for (const { name, lldp: tlvs } of parents) {
      const ids = advertisedVlans(tlvs ?? []);
      if (ids.length === 0) warn(`no VLANs are created on ${name}: its neighbour tells none by LLDP`);
      for (const id of ids.filter(isVlanId)) add(name, id);
    }
  }
  return [...wanted.values()];
}

/** Creates the interface and sets it up. Null, with a warning, if that fails; else its name. */
export async function createVlan(system: System, vlan: VlanRequest): Promise<string | null> {
  const name = vlanName(vlan);
  try {
    await system.run(
      ["ip", "link", "add", "link", vlan.parent, "name", name, "type", "vlan", "id", `${vlan.id}`],
      { allowedExitCodes: [0, KERNEL_REFUSED] },
    );
    await system.run(["ip", "link", "set", "dev", name, "up"]);
    return name;
  } catch (error) {
    if (!(error instanceof ProgramMissingError || error instanceof ProgramFailedError)) throw error;
    system.log.warning(`VLAN interface ${name} is not created: ${errorText(error)}`);
    return null;
  }
}

function vlanName({ parent, id }: VlanRequest): string {
  return `${parent}.${id}`;
}

function isVlanId(id: number): boolean {
  return id >= 1 && id <= 4094;
}

/** The interface with this name or, in any case of its letters, this MAC address. */
function nameOf(text: string, interfaces: readonly VlanParent[]): string | null {
  const found =
    interfaces.find(({ name }) => name === text) ??
    interfaces.find(({ mac_address }) => mac_address.toLowerCase() === text.toLowerCase());
  return found?.name ?? null;
}
