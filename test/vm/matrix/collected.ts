// What the collectors must have found on each machine, from what was configured on QEMU's command line (machines.ts).

import { expect } from "bun:test";
import { CONFIGURED, diskKey } from "../../hardware/recording/configured.ts";
import { MACHINES } from "../../hardware/recording/machines.ts";
import { COLLECTORS, type Findings } from "./boot.ts";
import type { Inspected } from "./inspected.ts";

/** Vendor and product of QEMU's devices, as PCI has them. */
const PCI = {
  virtioDisk: { vendor_id: "1af4", product_id: "1001", class: "010000" },
  virtioScsi: { vendor_id: "1af4", product_id: "1004", class: "010000" },
  virtioNet: { vendor_id: "1af4", product_id: "1000", class: "020000" },
  e1000e: { vendor_id: "8086", product_id: "10d3", class: "020000" },
  nvme: { vendor_id: "1b36", product_id: "0010", class: "010802" },
  xhci: { vendor_id: "1b36", product_id: "000d", class: "0c0330" },
  ahci: { vendor_id: "8086", product_id: "2922", class: "010601" },
};

/** Of every machine. */
export function expectCollected(name: string, { data, inventory, log }: Findings): void {
  const { memoryMiB = 0 } = MACHINES[name] ?? {};
  const { rootDisk, pxeInterface } = CONFIGURED[name] ?? {};
  expect({ error: data.error, log: /^\S+ \S+ \d+ ERROR .*$/m.exec(log)?.[0] ?? null }).toEqual({
    error: null,
    log: null,
  });
  expect(data.root_disk === undefined ? null : diskKey(data.root_disk)).toBe(rootDisk ?? "");
  expect(data.boot_interface).toBe(pxeInterface ?? null);
  expect(data.configuration).toEqual({
    collectors: [...COLLECTORS],
    managers: [{ name: "generic_hardware_manager", version: "1.2" }],
  });
  expect(data.inventory.disks).toEqual(inventory.disks);
  expect(data.numa_topology.ram.reduce((sum, { size_kb }) => sum + size_kb, 0) * 1024).toBe(
    inventory.memory.total ?? 0,
  );
  expect(about(data, "memory", "total")).toMatchObject({ size: String(memoryMiB * 2 ** 20) });
  expect(about(data, "cpu", "logical")).toMatchObject({ number: inventory.cpu.count });
  expect(about(data, "cpu", "physical")).toMatchObject({ number: inventory.cpu.socket_count });
  const { product_name, manufacturer, firmware } = inventory.system_vendor;
  expect(about(data, "system", "product")).toMatchObject({ vendor: manufacturer, name: product_name });
  expect(about(data, "firmware", "bios")).toMatchObject({
    vendor: firmware.vendor,
    version: firmware.version,
  });
  expect(data.dmi.bios).toMatchObject({ Vendor: firmware.vendor, "Release Date": firmware.build_date });
  expect(data.dmi.cpu).toHaveLength(inventory.cpu.socket_count);
}

export const COLLECTED: Readonly<Record<string, (findings: Findings) => void>> = {
  "qemu-bios": ({ data }) => {
    expectPci(data, {
      ...{ "0000:00:03.0": PCI.virtioDisk, "0000:00:04.0": PCI.virtioScsi, "0000:00:05.0": PCI.nvme },
      ...{ "0000:00:08.0": PCI.xhci, "0000:00:09.0": PCI.virtioNet, "0000:00:0a.0": PCI.e1000e },
      "0000:00:1f.2": PCI.ahci,
    });
    expect(data.numa_topology.cpus).toHaveLength(2);
    expect(data.lldp_raw).toMatchObject({ eth0: [], "eth0.100": [] });
    // A USB disk is a storage device and none of the class generic.
    expect(data.usb_devices).toEqual([]);
  },
  "qemu-numa": ({ data }) => {
    expectPci(data, { "0000:65:00.0": { ...PCI.e1000e, numa_node_id: "1" } });
    const cores = [0, 1].flatMap((node) =>
      [0, 1].map((core) => ({
        ...{ numa_node: node, cpu: core },
        thread_siblings: [4 * node + 2 * core, 4 * node + 2 * core + 1],
      })),
    );
    expect(data.numa_topology.cpus).toEqual(cores);
    // A virtio card does not tell.
    expect(data.numa_topology.nics).toEqual([{ name: "eth0", numa_node: 1 }]);
    // Numbered by lshw, and so not seen, as by the reference.
    expect(data.usb_devices).toEqual([]);
  },
  "qemu-uefi": ({ data }) => {
    expectPci(data, { "0000:00:03.0": PCI.nvme, "0000:00:04.0": PCI.e1000e, "0000:00:1f.2": PCI.ahci });
  },
  "qemu-multipath": ({ data }) => {
    expectPci(data, {
      "0000:00:11.0": PCI.virtioScsi,
      "0000:00:12.0": PCI.virtioScsi,
      "0000:00:13.0": PCI.virtioDisk,
    });
    // No card at all.
    expect([data.lldp_raw, data.parsed_lldp]).toEqual([{}, {}]);
  },
};

/** The facts of one object of extra-hardware. */
function about({ data }: Inspected, kind: string, object: string): Record<string, string | number> {
  const facts = data.filter(([a, b]) => a === kind && b === object);
  return Object.fromEntries(facts.map(([, , property, value]) => [property, value]));
}

/** Devices by their bus addresses; there may be more. */
function expectPci({ pci_devices }: Inspected, expected: Readonly<Record<string, object>>): void {
  const devices = Object.fromEntries(pci_devices.map((device) => [String(device.bus), device]));
  expect(devices).toMatchObject(expected as never);
}
