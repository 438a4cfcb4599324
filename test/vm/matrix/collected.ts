// What the collectors must have found on each machine, from what was configured: QEMU's command line (machines.ts), the switch
// at the other end (neighbour.ts), DHCP.

import { expect } from "bun:test";
import { CONFIGURED, diskKey } from "../../hardware/recording/configured.ts";
import { MACHINES } from "../../hardware/recording/machines.ts";
import { COLLECTORS, type Findings } from "./boot.ts";
import type { Inspected } from "./inspected.ts";
import { SWITCH } from "./neighbour.ts";

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
  "qemu-server": (findings) => {
    const { data, inventory } = findings;
    expectPci(data, {
      ...{ "0000:00:08.0": PCI.virtioScsi, "0000:00:10.0": PCI.virtioNet, "0000:00:11.0": PCI.e1000e },
      ...{ "0000:00:12.0": PCI.e1000e, "0000:00:14.0": PCI.xhci },
      "0000:65:00.0": { ...PCI.e1000e, numa_node_id: "2" },
    });
    expect(data.numa_topology.cpus).toEqual(
      [0, 1, 2, 3].map((node) => ({ thread_siblings: [2 * node, 2 * node + 1], cpu: 0, numa_node: node })),
    );
    const nodes = Object.fromEntries(data.numa_topology.nics.map((nic) => [nic.name, nic.numa_node]));
    expect(nodes).toEqual({
      [nameOf(findings, "01:02")]: -1,
      [nameOf(findings, "01:03")]: -1,
      [nameOf(findings, "01:04")]: 2,
    });
    expect(about(data, "numa", "nodes")).toEqual({ count: 4 });
    expect(about(data, "numa", "node_3")).toEqual({ cpu_count: 2, cpu_mask: "c0" });
    expect(inventory.cpu.flags).not.toContain("aes");
    // hardware 13.12
    expect(data.usb_devices).toEqual([
      { product: "QEMU USB SERIAL", vendor: "QEMU", handle: expect.stringMatching(/^USB:\d+:\d+$/) as never },
    ]);
    expect(data.dmi.bios).toMatchObject({ Version: "7.7.7", "BIOS Revision": "7.7" });
    expect(data.dmi.cpu[3]).toMatchObject({
      ...{ "Socket Designation": "Socket 3", Manufacturer: "Hyperdyne", Version: "Model 120" },
      "Max Speed": "3200 MHz",
    });
    expect(data.dmi.memory["Number Of Devices"]).toBe(1);
    expect(data.dmi.memory.devices[0]).toMatchObject({
      ...{ Size: "3 GB", Locator: "DIMM 0", Manufacturer: "Acme Memory" },
      ...{ "Serial Number": "M-1", "Part Number": "P-8", Speed: "2666 MT/s" },
    });
    expect(about(data, "system", "product")).toMatchObject({
      ...{ serial: "WY-0042", version: "180924609", uuid: "6d1f9a1e-51a4-4b0c-9d3e-0d0c8d1d2f11" },
    });
    expect(about(data, "system", "motherboard")).toMatchObject({ name: "Board 9", vendor: "Seegson" });
    expect(about(data, "system", "ipmi")).toEqual({ channel: "1" });
    expect(about(data, "ipmi", "lan")).toMatchObject({
      ...{ "ip-address": "198.51.100.7", "mac-address": "52:54:00:bc:00:07" },
    });
    expectLeases(findings);
    expectNeighbours(findings);
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

/** The interface of the card whose address ends so; its bond and VLANs are not meant. */
function nameOf({ inventory }: Findings, ending: string): string {
  return (
    inventory.interfaces.find(
      ({ name, mac_address }) => /^eth\d+$/.test(name) && mac_address.endsWith(ending),
    )?.name ?? `no card ${ending}`
  );
}

/** The address of the PXE card is the one that DHCP gave it. */
function expectLeases({ inventory, leases }: Findings): void {
  const lease = leases.find(({ mac }) => mac === "52:54:00:00:01:01");
  const card = inventory.interfaces.find(({ mac_address }) => mac_address === "52:54:00:00:01:01");
  expect(card?.ipv4_address).toBe(lease?.address ?? "no lease");
}

/** control-plane 11.89, 11.90: what lldpd says on the other side of each cable; nothing on the card without one. */
function expectNeighbours(findings: Findings): void {
  const { data, switchMac } = findings;
  const [pxe, second, far] = ["01:01", "01:02", "01:04"].map((ending) => nameOf(findings, ending));
  const hex = (text: string) => Buffer.from(text).toString("hex");
  const raw = data.lldp_raw[pxe ?? ""] ?? [];
  const value = (type: number) => raw.find(([given]) => given === type)?.[1];
  expect(value(1)).toBe(`04${switchMac?.replaceAll(":", "")}`);
  expect(value(2)).toBe(`07${hex(SWITCH.port("tap0"))}`);
  expect(value(4)).toBe(hex(SWITCH.portDescription));
  expect(value(5)).toBe(hex(SWITCH.name));
  const { id, name } = SWITCH.vlan;
  const vlan = [id.toString(16).padStart(4, "0"), name.length.toString(16).padStart(2, "0"), hex(name)].join(
    "",
  );
  expect(raw).toContainEqual([127, `0080c203${vlan}`]);
  expect(data.parsed_lldp[pxe ?? ""]).toMatchObject({
    ...{ switch_chassis_id: switchMac, switch_port_id: SWITCH.port("tap0") },
    ...{ switch_system_name: SWITCH.name, switch_system_description: SWITCH.description },
    ...{ switch_port_description: SWITCH.portDescription, switch_mgmt_addresses: [SWITCH.managementAddress] },
    switch_port_vlans: [{ id, name }],
  });
  // A member of the bond hears its own port.
  expect(data.parsed_lldp[second ?? ""]).toMatchObject({ switch_port_id: SWITCH.port("tap1") });
  expect(data.lldp_raw[far ?? ""]).toEqual([]);
}
