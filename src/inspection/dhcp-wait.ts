// Waiting for DHCP before the inventory is taken: the addresses in it are what Ironic finds the machine by.
// Rules: control-plane specification 8.2. Only IPv4 counts.

import type { Config } from "../config/config.ts";
import { readBootInfo } from "../hardware/boot.ts";
import type { HardwareManagers } from "../hardware/managers.ts";
import type { System } from "../system/system.ts";

/** Seconds between two looks. */
const POLL = 2;

/**
 * Returns when the interface the machine booted from, or every one, has an IPv4 address, or the time is over.
 */
export async function waitForDhcp(
  system: System,
  config: Config,
  managers: HardwareManagers,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = system;
  const log = system.log.named("ironic_agent.inspection");
  const timeout = config.get("inspection_dhcp_wait_timeout");
  if (timeout === 0) return;
  const all = config.get("inspection_dhcp_all_interfaces");
  const bootInterface = (await readBootInfo(system, config)).pxe_interface;
  if (bootInterface === null && !all) {
    log.warning(
      "not waiting for DHCP: there is no kernel parameter BOOTIF to tell the interface the machine booted from",
    );
    return;
  }
  const mac = bootInterface === null ? null : bootMac(bootInterface);
  const deadline = clock.monotonic() + timeout;
  // VLANs that the switch tells of are made by the first look, and want an address, too.
  let collectLldp = config.get("collect_lldp") && vlansByLldp(config);
  for (;;) {
    const interfaces = await managers.dispatch("listNetworkInterfaces", { collectLldp });
    collectLldp = false;
    const missing = interfaces
      .filter(({ mac_address }) => all || mac_address.toLowerCase() === mac)
      .filter(({ ipv4_address }) => ipv4_address === null)
      .map(({ name }) => name);
    if (missing.length === 0) return;
    const left = deadline - clock.monotonic();
    if (left <= 0) {
      log.warning(
        `no IPv4 address on ${missing.join(", ")} after ${timeout} s of waiting for DHCP; going on`,
      );
      return;
    }
    log.debug(`waiting for DHCP on ${missing.join(", ")}`);
    await clock.sleep(Math.min(POLL, left), signal);
  }
}

/** Items without a VLAN's number mean those of the switch. */
function vlansByLldp(config: Config): boolean {
  return config.get("enable_vlan_interfaces").some((item) => !item.includes("."));
}

/**
 * The MAC address that BOOTIF names: PXELINUX writes `01-aa-bb-cc-dd-ee-ff` (the hardware type first), iPXE
 * the address alone, with colons or dashes.
 */
export function bootMac(bootif: string): string {
  const groups = bootif.split("-");
  const withType = groups.length > 1 && groups.length !== 6;
  return (withType ? groups.slice(1) : groups).join(":").toLowerCase();
}
