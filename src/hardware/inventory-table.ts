// The inventory for people: what stands on a machine's label, its disks and its network interfaces.

import { printable } from "../system/printable.ts";
import { table } from "../table.ts";
import type { Inventory, InventoryDisk, NetworkInterface } from "./manager.ts";

const UNKNOWN = "-";
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/**
 * Without a final newline. What a machine's firmware or a disk says of itself is printed so that it cannot command a terminal.
 * `rootDisk`: the one that an image goes to without hints; null if there is none.
 */
export function inventoryTable(inventory: Inventory, rootDisk: string | null): string {
  return printable(
    [
      table(["MACHINE", ""], machineRows(inventory, rootDisk)),
      devices(
        "DISK",
        ["SIZE", "KIND", "TRAN", "SECTOR", "MODEL", "SERIAL", "WWN", "HCTL", "BY-PATH"],
        inventory.disks.map(diskRow),
      ),
      devices(
        "INTERFACE",
        ["MAC", "LINK", "MBIT/S", "IPV4", "IPV6", "DRIVER", "DEVICE", "VENDOR", "LLDP"],
        inventory.interfaces.map(interfaceRow),
      ),
    ].join("\n\n"),
  );
}

function machineRows(inventory: Inventory, rootDisk: string | null): string[][] {
  const { cpu, memory, boot, system_vendor: vendor } = inventory;
  const { firmware } = vendor;
  return [
    ["name", inventory.hostname],
    ["product", words(vendor.manufacturer, vendor.product_name)],
    ["serial number", cell(vendor.serial_number)],
    ["firmware", words(firmware.vendor, firmware.version, firmware.build_date)],
    ["boot", words(boot.current_boot_mode, boot.pxe_interface && `from ${boot.pxe_interface}`)],
    ["processors", words(`${cpu.count} in ${cpu.socket_count} sockets,`, cpu.model_name)],
    ["architecture", cell(cpu.architecture)],
    ["frequency", cpu.frequency === null ? UNKNOWN : `${cpu.frequency} MHz`],
    ["memory", memory.physical_mb === null ? UNKNOWN : `${memory.physical_mb} MiB`],
    ["  usable", memory.total === null ? UNKNOWN : size(memory.total)],
    ["BMC address", cell(inventory.bmc_address)],
    ["BMC IPv6", cell(inventory.bmc_v6address)],
    ["BMC MAC", cell(inventory.bmc_mac)],
    ["root disk", rootDisk === null ? "none: root-device says why" : `${rootDisk}, if there are no hints`],
  ];
}

function devices(kind: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  return rows.length === 0 ? `${kind}\nnone` : table([kind, ...head], rows);
}

function diskRow(disk: InventoryDisk): string[] {
  return [
    disk.name,
    size(disk.size),
    disk.rotational ? "rotating" : "solid",
    cell(disk.tran),
    cell(disk.logical_sectors),
    words(disk.vendor, disk.model),
    cell(disk.serial),
    cell(disk.wwn),
    cell(disk.hctl),
    cell(disk.by_path),
  ];
}

function interfaceRow(port: NetworkInterface): string[] {
  return [
    port.name,
    port.mac_address,
    port.has_carrier ? "up" : "down",
    cell(port.speed_mbps),
    cell(port.ipv4_address),
    cell(port.ipv6_address),
    cell(port.driver),
    cell(port.pci_address),
    port.vendor === null ? UNKNOWN : `${port.vendor}:${port.product ?? ""}`,
    port.lldp === null ? UNKNOWN : `${port.lldp.length} TLVs`,
  ];
}

function cell(value: string | number | null | undefined): string {
  return value === null || value === undefined || value === ""
    ? UNKNOWN
    : String(value).replaceAll("\n", " ");
}

function words(...parts: readonly (string | null)[]): string {
  return cell(parts.filter((part) => part !== null && part !== "").join(" "));
}

/** With one decimal in the largest unit that fits: `931.5 GiB`. */
function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}
