// The network interfaces that belong to the machine: which there are, and what is known of each.
// Rules: hardware specification 4.1–4.3.

import { errorText, IncompatibleHardwareMethodError } from "../errors.ts";
import { mapLimited } from "../map-limited.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import type { BiosDeviceNames } from "./biosdevname.ts";
import { type LinkAddresses, readLinkAddresses } from "./ip-tool.ts";
import { fastestLink } from "./link-speed.ts";
import type { NetworkInterface } from "./manager.ts";

const CLASS = "/sys/class/net";

const NO_ADDRESSES: LinkAddresses = { ipv4: [], ipv4PrefixLengths: [], ipv6: [], permanentMac: null };

/**
 * Hardware, bonds and VLANs, in the order the kernel numbered them; no loopback, bridge, tunnel or virtual
 * pair.
 */
export async function interfaceNames(system: System): Promise<string[]> {
  const names = await system.files.list(CLASS);
  const candidates = await mapLimited(names, async (name) => ({
    name,
    belongs: await belongsToMachine(system, name),
    index: Number((await system.files.readAttribute(`${CLASS}/${name}/ifindex`)) ?? Number.NaN),
  }));
  return candidates
    .filter(({ belongs }) => belongs)
    .sort((left, right) => left.index - right.index || (left.name < right.name ? -1 : 1))
    .map(({ name }) => name);
}

/** `eth0.100`: digits after the first dot. */
export function isVlanName(name: string): boolean {
  return /^[^.]*\.\d+$/.test(name);
}

/**
 * The addresses of all interfaces; none, with a warning, where iproute2 cannot tell: MAC addresses are found
 * without it.
 */
export async function linkAddresses(system: System): Promise<Map<string, LinkAddresses>> {
  try {
    return await readLinkAddresses(system);
  } catch (error) {
    const expected =
      error instanceof ProgramMissingError ||
      error instanceof ProgramFailedError ||
      error instanceof SyntaxError;
    if (!expected) throw error;
    system.log.warning(`the IP addresses of the interfaces are unknown: ${errorText(error)}`);
    return new Map();
  }
}

export type InterfaceSources = {
  /** What iproute2 told of this interface. */
  readonly addresses: LinkAddresses | undefined;
  readonly biosDeviceNames: BiosDeviceNames;
  /** Addresses that begin with fa are placeholders on some machines: such interfaces are left out. */
  readonly ignoreFaMacs: boolean;
};

/**
 * What is known of one interface.
 * @throws IncompatibleHardwareMethodError if it has no MAC address by which Ironic could know it.
 */
export async function describeInterface(
  system: System,
  name: string,
  { addresses = NO_ADDRESSES, biosDeviceNames, ignoreFaMacs }: InterfaceSources,
): Promise<NetworkInterface> {
  const { files } = system;
  const directory = `${CLASS}/${name}`;
  const [current, carrier, vendor, product, speed, device, driver, biosdevname] = await Promise.all([
    files.readAttribute(`${directory}/address`),
    files.readAttribute(`${directory}/carrier`),
    files.readAttribute(`${directory}/device/vendor`),
    files.readAttribute(`${directory}/device/device`),
    files.readAttribute(`${directory}/speed`),
    files.readLink(`${directory}/device`),
    files.readLink(`${directory}/device/driver`),
    isVlanName(name) ? null : biosDeviceNames.nameOf(name),
  ]);
  // A bond's members show the bond's address; Ironic knows them by their own.
  const mac = system.permanentAddress(name) ?? addresses.permanentMac ?? current?.toLowerCase() ?? "";
  if (mac === "") throw new IncompatibleHardwareMethodError(`${name} has no MAC address`);
  if (ignoreFaMacs && mac.startsWith("fa:")) {
    system.log.warning(
      `${name} has the MAC address ${mac}, of a range that firmware uses for placeholders, and is left out; ` +
        "set ignore_fa_mac_addresses to false if it is real",
    );
    throw new IncompatibleHardwareMethodError(`the MAC address of ${name} is a placeholder`);
  }
  const ipv6 = addresses.ipv6[0];
  return {
    name,
    mac_address: mac,
    ipv4_address: addresses.ipv4[0] ?? null,
    ipv6_address: ipv6 === undefined ? null : ipv6.linkLocal ? `${ipv6.address}%${name}` : ipv6.address,
    has_carrier: carrier === "1",
    lldp: null,
    vendor: vendor || null,
    product: product || null,
    client_id: null,
    biosdevname,
    speed_mbps: linkSpeed(system, name, speed),
    pci_address: lastComponent(device),
    driver: lastComponent(driver),
  };
}

/**
 * Mbit/s that the port can have at most. Where the driver cannot be asked, the speed of the link as it is now; null when
 * that is down or means nothing (-1).
 */
function linkSpeed(system: System, name: string, current: string | null): number | null {
  const modes = system.supportedLinkModes(name);
  if (modes !== null) return fastestLink(modes);
  const speed = Number(current ?? Number.NaN);
  return Number.isInteger(speed) && speed > 0 ? speed : null;
}

async function belongsToMachine(system: System, name: string): Promise<boolean> {
  if (isVlanName(name)) return true;
  const kinds = await Promise.all(
    ["device", "bonding"].map((entry) => system.files.targetKind(`${CLASS}/${name}/${entry}`)),
  );
  return kinds.some((kind) => kind !== null);
}

function lastComponent(link: string | null): string | null {
  return link === null ? null : (link.split("/").at(-1) ?? null);
}
