// Mellanox cards in InfiniBand mode: their addresses have 20 octets, and Ironic knows such a port by a MAC address made of eight of
// them, with a DHCP client id beside it. Source: hardware specification 10.1, control-plane specification 7.2.

import { IncompatibleHardwareMethodError } from "../../errors.ts";
import { type HardwareManager, type ManagerContext, type NetworkInterface, Support } from "../manager.ts";

const CLASS = "/sys/class/net";
const VENDOR = "0x15b3";
/** Twenty octets in hex, with colons. */
const INFINIBAND_ADDRESS = /^[0-9a-f]{2}(?::[0-9a-f]{2}){19}$/i;
const CLIENT_ID_PREFIX = "ff:00:00:00:00:00:02:00:00:02:c9:00:";

export class MellanoxDeviceHardwareManager implements HardwareManager {
  readonly className = "MellanoxDeviceHardwareManager";
  readonly name = "MellanoxDeviceHardwareManager";
  readonly version = "1";

  readonly #context: ManagerContext;

  constructor(context: ManagerContext) {
    this.#context = context;
  }

  async evaluateHardwareSupport(): Promise<number> {
    const { files } = this.#context.system;
    for (const name of await files.list(CLASS))
      if ((await this.#vendorOf(name)) === VENDOR) return Support.mainline;
    return Support.none;
  }

  /** @throws IncompatibleHardwareMethodError for every port that is not an InfiniBand one of this vendor */
  async getInterfaceInfo(name: string): Promise<NetworkInterface> {
    const address = await this.#context.system.files.readAttribute(`${CLASS}/${name}/address`);
    if (address === null || !INFINIBAND_ADDRESS.test(address) || (await this.#vendorOf(name)) !== VENDOR)
      throw new IncompatibleHardwareMethodError(`${name} is no InfiniBand port of Mellanox`);
    const known = await this.#context.dispatchAfter(this, "getInterfaceInfo", name);
    return {
      ...known,
      mac_address: infinibandMac(address),
      client_id: infinibandClientId(address),
      ipv6_address: null,
      lldp: null,
      biosdevname: null,
      speed_mbps: null,
      pci_address: null,
      driver: null,
    };
  }

  #vendorOf(name: string): Promise<string | null> {
    return this.#context.system.files.readAttribute(`${CLASS}/${name}/device/vendor`);
  }
}

/** The port's GUID, which is the end of the address, without its two middle octets. */
function infinibandMac(address: string): string {
  const octets = address.toLowerCase().split(":");
  return [...octets.slice(12, 15), ...octets.slice(17)].join(":");
}

function infinibandClientId(address: string): string {
  return CLIENT_ID_PREFIX + address.toLowerCase().split(":").slice(12).join(":");
}
