// The inventory: what Ironic learns about the machine at look-up and inspection. Keys, order and nulls are
// the wire's. Nothing waits for anything it could run beside. Rules: hardware specification 1.

import { IncompatibleHardwareMethodError } from "../errors.ts";
import { inventoryDisk } from "./block-devices.ts";
import type { HardwareManager, Inventory } from "./manager.ts";

/**
 * A manager that can tell everything itself: the inventory is taken from one manager, not put together from
 * several.
 */
export type InventorySource = Required<
  Pick<
    HardwareManager,
    | "listNetworkInterfaces"
    | "getCpus"
    | "listBlockDevices"
    | "getMemory"
    | "getBmcAddress"
    | "getBmcV6Address"
    | "getBmcMac"
    | "getSystemVendorInfo"
    | "getBootInfo"
  >
>;

/** @throws what the source throws: an inventory is complete or not there */
export async function collectInventory(
  source: InventorySource,
  options: { readonly hostname: string; readonly skipBmc: boolean },
): Promise<Inventory> {
  const { skipBmc, hostname } = options;
  const [interfaces, cpu, devices, memory, bmcAddress, bmcV6Address, bmcMac, vendor, boot] =
    await Promise.all([
      source.listNetworkInterfaces(),
      source.getCpus(),
      source.listBlockDevices(),
      source.getMemory(),
      skipBmc ? null : source.getBmcAddress(),
      skipBmc ? null : source.getBmcV6Address(),
      skipBmc ? null : nullIfIncompatible(source.getBmcMac()),
      source.getSystemVendorInfo(),
      source.getBootInfo(),
    ]);
  return {
    interfaces,
    cpu,
    disks: devices.map(inventoryDisk),
    memory,
    bmc_address: bmcAddress,
    bmc_v6address: bmcV6Address,
    system_vendor: vendor,
    boot,
    hostname,
    ...(bmcMac === null ? {} : { bmc_mac: bmcMac }),
  };
}

async function nullIfIncompatible<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof IncompatibleHardwareMethodError) return null;
    throw error;
  }
}
