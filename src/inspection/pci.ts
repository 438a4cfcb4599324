// The collector pci-devices. Rules: hardware specification 11.1.

import type { JsonObject } from "../json.ts";
import { mapLimited } from "../map-limited.ts";
import type { System } from "../system/system.ts";
import type { Collector } from "./collector.ts";

const DEVICES = "/sys/bus/pci/devices";

export const collectPci: Collector = async ({ system }) => {
  if ((await system.files.targetKind(DEVICES)) !== "directory") throw new Error(`there is no ${DEVICES}`);
  const names = await system.files.list(DEVICES);
  const devices = await mapLimited(names, (name) => describeDevice(system, name));
  return { pci_devices: devices.filter((device) => device !== null) };
};

/** Null, with a warning, for a device that does not tell what it is. */
async function describeDevice(system: System, bus: string): Promise<JsonObject | null> {
  const read = (attribute: string) => system.files.readAttribute(`${DEVICES}/${bus}/${attribute}`);
  const [vendor, device, deviceClass, revision, node] = await Promise.all(
    ["vendor", "device", "class", "revision", "numa_node"].map(read),
  );
  const [vendorId, productId, classId] = [vendor, device, deviceClass].map(digits);
  if (vendorId == null || productId == null || classId == null) {
    system.log.warning(`PCI device ${bus} is left out: it does not tell its vendor, product and class`);
    return null;
  }
  return {
    vendor_id: vendorId,
    product_id: productId,
    class: classId,
    revision: digits(revision) ?? null,
    bus,
    numa_node_id: node ?? null,
  };
}

/** What follows the `0x`; null without one. */
function digits(text: string | null | undefined): string | null {
  const x = text?.indexOf("x") ?? -1;
  return text == null || x < 0 ? null : text.slice(x + 1);
}
