// What the machines of machines.ts must look like in an inventory, said from what was set on QEMU's command line and typed
// into them, not from what the agent once answered. The VM matrix compares the live machines with it, the unit tests
// their recordings. What only the kernel decides (names by order of discovery, numbers of SCSI hosts) is a pattern.

import { expect } from "bun:test";
import type { Inventory, InventoryDisk, NetworkInterface } from "../../../src/hardware/manager.ts";
import { MACHINES } from "./machines.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

type Expected<T> = { readonly [K in keyof T]: T[K] | ReturnType<typeof expect.stringMatching> };

export type Configured = {
  /** By serial number where one disk alone has it, else by name. */
  readonly disks: Readonly<Record<string, Expected<InventoryDisk>>>;
  /** By MAC address; bonds and VLANs by name. */
  readonly interfaces: Readonly<Record<string, Partial<Expected<NetworkInterface>>>>;
  readonly cpu: { readonly model_name: string; readonly count: number; readonly socket_count: number };
  readonly bmc: {
    readonly bmc_address: string | null;
    readonly bmc_v6address: string | null;
    readonly bmc_mac?: string;
  };
  readonly vendor: Inventory["system_vendor"];
  readonly pxeInterface: string | null;
  /** Key of the disk that is chosen without hints. */
  readonly rootDisk: string | null;
};

const SD = expect.stringMatching(/^\/dev\/sd[a-z]$/);
const VD = expect.stringMatching(/^\/dev\/vd[a-z]$/);
const QEMU_FIRMWARE = { vendor: "SeaBIOS", version: expect.any(String), build_date: "04/01/2014" };
const BY_PATH = "/dev/disk/by-path";

/** virtio-blk: the kernel takes it for rotational, and it has neither model nor WWN. */
function virtioDisk(serial: string, size: number, slot: string): Configured["disks"][string] {
  return {
    ...{ name: VD, model: null, size, rotational: true, wwn: null, serial, vendor: "0x1af4" },
    ...{ wwn_with_extension: null, wwn_vendor_extension: null, hctl: null },
    by_path: `${BY_PATH}/pci-0000:00:${slot}.0`,
    ...{ logical_sectors: 512, physical_sectors: 512, tran: null },
  };
}

/** What QEMU's SCSI and SATA disks have in common. */
function scsiDisk(fields: {
  model: string;
  vendor: string;
  serial: string;
  size: number;
  rotational: boolean;
  wwn: string | null;
  path: string;
  tran: string | null;
}): Configured["disks"][string] {
  const { path, wwn, ...rest } = fields;
  return {
    ...{ ...rest, name: SD, wwn, wwn_with_extension: wwn, wwn_vendor_extension: null },
    hctl: expect.stringMatching(/^\d+:0:0:0$/),
    by_path: `${BY_PATH}/${path}`,
    ...{ logical_sectors: 512, physical_sectors: 512 },
  };
}

/** The kernel makes its WWN of the controller's vendor, serial and model and the namespace. */
function nvmeDisk(
  name: string,
  serial: string,
  namespace: number,
  size: number,
  sector: number,
  slot: string,
): Configured["disks"][string] {
  const hex = (text: string) => Buffer.from(text).toString("hex");
  const wwn = `nvme.1b36-${hex(serial)}-${hex("QEMU NVMe Ctrl")}-${String(namespace).padStart(8, "0")}`;
  return {
    ...{ name, model: "QEMU NVMe Ctrl", size, rotational: false, wwn, serial, vendor: null },
    ...{ wwn_with_extension: null, wwn_vendor_extension: null, hctl: null },
    by_path: `${BY_PATH}/pci-0000:00:${slot}.0-nvme-${namespace}`,
    ...{ logical_sectors: sector, physical_sectors: sector, tran: "nvme" },
  };
}

/** The address that a card gives itself on its link. */
function linkLocal(mac: string, name: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.split(":").map((part) => Number.parseInt(part, 16));
  const groups = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f];
  return `fe80::${groups.map((group) => group.toString(16)).join(":")}%${name}`;
}

export const CONFIGURED: Readonly<Record<string, Configured>> = {
  "qemu-bios": {
    disks: {
      VBLK1: virtioDisk("VBLK1", 12 * GIB, "03"),
      MEMBER1: virtioDisk("MEMBER1", 64 * MIB, "06"),
      MEMBER2: virtioDisk("MEMBER2", 64 * MIB, "07"),
      SCSI77: scsiDisk({
        ...{ model: "SPINNER", vendor: "ACME", serial: "SCSI77", size: 7 * GIB, rotational: true },
        ...{ wwn: "0x5000c500a1b2c3d4", path: "pci-0000:00:04.0-scsi-0:0:0:0", tran: null },
      }),
      IDE001: scsiDisk({
        ...{ model: "ATADISK", vendor: "ATA", serial: "IDE001", size: 100 * MIB, rotational: false },
        ...{ wwn: "0x5000c50012345678", path: "pci-0000:00:1f.2-ata-2", tran: "sata" },
      }),
      STICK: scsiDisk({
        ...{ model: "QEMU HARDDISK", vendor: "QEMU", serial: "STICK", size: 32 * MIB, rotational: true },
        ...{ wwn: null, path: "pci-0000:00:08.0-usb-0:1:1.0-scsi-0:0:0:0", tran: "usb" },
      }),
      "/dev/nvme0n1": nvmeDisk("/dev/nvme0n1", "NVME42", 1, 128 * MIB, 512, "05"),
      "/dev/nvme0n2": nvmeDisk("/dev/nvme0n2", "NVME42", 2, 256 * MIB, 4096, "05"),
      "/dev/md0": {
        // 64 MiB less what the metadata takes.
        ...{ name: "/dev/md0", model: null, size: 63 * MIB, rotational: true, wwn: null, serial: null },
        ...{ vendor: null, wwn_with_extension: null, wwn_vendor_extension: null, hctl: null, by_path: null },
        ...{ logical_sectors: 512, physical_sectors: 512, tran: null },
      },
    },
    interfaces: {
      "52:54:00:12:34:57": {
        ...{ name: "eth0", ipv4_address: "192.0.2.10", ipv6_address: linkLocal("52:54:00:12:34:57", "eth0") },
        ...{ has_carrier: true, vendor: "0x8086", product: "0x10d3", speed_mbps: 1000 },
        ...{ pci_address: "0000:00:0a.0", driver: "e1000e" },
      },
      // Down, and working under another address than the one that Ironic knows it by.
      "52:54:00:12:34:56": {
        ...{ name: "eth1", ipv4_address: null, ipv6_address: null, has_carrier: false },
        ...{ vendor: "0x1af4", product: "0x0001", speed_mbps: null, driver: "virtio_net" },
        pci_address: expect.stringMatching(/^virtio\d+$/),
      },
      "eth0.100": {
        ...{ mac_address: "52:54:00:12:34:57", ipv4_address: null, ipv6_address: "2001:db8::100" },
        ...{ has_carrier: true, vendor: null, product: null, pci_address: null, driver: null },
      },
    },
    cpu: { model_name: "QEMU TCG CPU version 2.5+", count: 2, socket_count: 1 },
    // The simulator inside QEMU knows no LAN.
    bmc: { bmc_address: "0.0.0.0", bmc_v6address: "::/0" },
    vendor: {
      ...{ product_name: "Rocket (R-1)", serial_number: "SN123", manufacturer: "Acme" },
      firmware: { vendor: "TestBIOS", version: "1.2.3", build_date: "03/30/2023" },
    },
    pxeInterface: "01-52-54-00-12-34-56",
    rootDisk: "SCSI77",
  },
  "qemu-numa": {
    disks: {
      SCSI1: scsiDisk({
        ...{ model: "SPINNER", vendor: "ACME", serial: "SCSI1", size: 5 * GIB, rotational: true },
        ...{ wwn: null, path: "pci-0000:00:03.0-scsi-0:0:0:0", tran: null },
      }),
    },
    interfaces: {
      "52:54:00:00:00:02": {
        ...{ name: "eth0", ipv4_address: null, ipv6_address: null, has_carrier: false, vendor: "0x8086" },
        ...{ product: "0x10d3", speed_mbps: 1000, driver: "e1000e", pci_address: "0000:65:00.0" },
      },
      "52:54:00:00:00:03": {
        ...{ name: "eth1", ipv4_address: null, ipv6_address: linkLocal("52:54:00:00:00:03", "eth1") },
        ...{ has_carrier: true, vendor: "0x1af4", product: "0x0001", speed_mbps: null, driver: "virtio_net" },
      },
    },
    cpu: { model_name: "QEMU TCG CPU version 2.5+", count: 8, socket_count: 2 },
    bmc: { bmc_address: null, bmc_v6address: null },
    vendor: {
      ...{ product_name: "Nexus", serial_number: "0123456789", manufacturer: "Tyrell" },
      firmware: QEMU_FIRMWARE,
    },
    pxeInterface: "52:54:00:00:00:02",
    rootDisk: "SCSI1",
  },
  "qemu-uefi": {
    disks: {
      "/dev/nvme0n1": nvmeDisk("/dev/nvme0n1", "NVME1", 1, 20 * GIB, 512, "03"),
      SATA1: scsiDisk({
        ...{ model: "PLATTER", vendor: "ATA", serial: "SATA1", size: 10 * GIB, rotational: true },
        ...{ wwn: null, path: "pci-0000:00:1f.2-ata-1", tran: "sata" },
      }),
    },
    interfaces: {
      "52:54:00:00:00:01": {
        ...{ name: "eth0", ipv4_address: null, ipv6_address: null, has_carrier: false, vendor: "0x8086" },
        ...{ product: "0x10d3", speed_mbps: 1000, driver: "e1000e", pci_address: "0000:00:04.0" },
      },
    },
    cpu: { model_name: "QEMU TCG CPU version 2.5+", count: 2, socket_count: 1 },
    bmc: { bmc_address: null, bmc_v6address: null },
    vendor: {
      ...{ product_name: "Hive", serial_number: "H-77", manufacturer: "Umbrella" },
      firmware: {
        vendor: "EFI Development Kit II / OVMF",
        version: expect.any(String),
        build_date: expect.any(String),
      },
    },
    pxeInterface: null,
    rootDisk: "SATA1",
  },
  "qemu-server": {
    disks: {
      SCSI1: scsiDisk({
        ...{ model: "SPINNER", vendor: "ACME", serial: "SCSI1", size: 5 * GIB, rotational: true },
        ...{ wwn: null, path: "pci-0000:00:08.0-scsi-0:0:0:0", tran: null },
      }),
    },
    interfaces: {
      "52:54:00:00:01:01": {
        ...{ ipv4_address: expect.stringMatching(/^192\.0\.2\.1\d\d$/), has_carrier: true },
        ...{ vendor: "0x1af4", product: "0x0001", speed_mbps: null, driver: "virtio_net" },
      },
      // Members of the bond, each under its own address.
      "52:54:00:00:01:02": {
        ...{ has_carrier: true, vendor: "0x8086", product: "0x10d3", speed_mbps: 1000 },
        ...{ pci_address: "0000:00:11.0", driver: "e1000e", ipv4_address: null, ipv6_address: null },
      },
      "52:54:00:00:01:03": {
        ...{ has_carrier: true, vendor: "0x8086", product: "0x10d3", speed_mbps: 1000 },
        ...{ pci_address: "0000:00:12.0", driver: "e1000e", ipv4_address: null, ipv6_address: null },
      },
      // Up, without a cable.
      "52:54:00:00:01:04": {
        ...{ has_carrier: false, vendor: "0x8086", product: "0x10d3", speed_mbps: 1000 },
        ...{ pci_address: "0000:65:00.0", driver: "e1000e", ipv4_address: null },
      },
      bond0: {
        ...{ mac_address: "52:54:00:00:01:02", ipv4_address: "203.0.113.5", has_carrier: true },
        ...{ vendor: null, product: null, pci_address: null, driver: null },
      },
      "pxe.100": {
        ...{ mac_address: "52:54:00:00:01:01", ipv4_address: null, has_carrier: true },
        ...{ vendor: null, product: null, pci_address: null, driver: null },
      },
    },
    cpu: { model_name: "Hyperdyne 120-A/2", count: 8, socket_count: 4 },
    bmc: { bmc_address: "198.51.100.7", bmc_v6address: "::/0", bmc_mac: "52:54:00:bc:00:07" },
    vendor: {
      ...{ product_name: "Nostromo (N-1)", serial_number: "WY-0042", manufacturer: "Weyland-Yutani" },
      firmware: { vendor: "Lab Firmware", version: "7.7.7", build_date: "02/29/2024" },
    },
    pxeInterface: "01-52-54-00-00-01-01",
    rootDisk: "SCSI1",
  },
  "qemu-multipath": {
    disks: {
      // udev gives a map the identity of the unit, in the words of the SCSI standard, and nothing of its paths.
      "35000c500aabbccdd": {
        name: expect.stringMatching(/^\/dev\/dm-\d+$/),
        ...{ model: null, size: 8 * GIB, rotational: true, wwn: "0x5000c500aabbccdd" },
        ...{ serial: "35000c500aabbccdd", vendor: null, hctl: null, by_path: null },
        ...{ wwn_with_extension: null, wwn_vendor_extension: null },
        ...{ logical_sectors: 512, physical_sectors: 512, tran: null },
      },
      VOLUMES: virtioDisk("VOLUMES", 9 * GIB, "13"),
      FIXED: virtioDisk("FIXED", 16 * MIB, "14"),
    },
    interfaces: {},
    cpu: { model_name: "QEMU TCG CPU version 2.5+", count: 2, socket_count: 1 },
    bmc: { bmc_address: null, bmc_v6address: null },
    vendor: {
      ...{ product_name: "Genisys", serial_number: "", manufacturer: "Cyberdyne" },
      firmware: QEMU_FIRMWARE,
    },
    pxeInterface: null,
    rootDisk: "35000c500aabbccdd",
  },
};

/** Compares an inventory with what was configured. The disk RECORD, which carries answers out, is passed over. */
export function expectConfigured(inventory: Inventory, machine: string): void {
  const configured = CONFIGURED[machine];
  const qemu = MACHINES[machine];
  if (configured === undefined || qemu === undefined) throw new Error(`there is no machine ${machine}`);
  const { memoryMiB, firmware } = qemu;
  const disks = inventory.disks.filter(({ serial }) => serial !== "RECORD");
  expect(Object.fromEntries(disks.map((disk) => [diskKey(disk), disk]))).toEqual({
    ...configured.disks,
  } as never);
  const interfaces = Object.fromEntries(inventory.interfaces.map((one) => [interfaceKey(one), one]));
  // A copy, because Bun puts the pattern in the place of what matched it.
  expect(structuredClone(interfaces)).toMatchObject(configured.interfaces);
  expect(new Set(Object.keys(interfaces))).toEqual(new Set(Object.keys(configured.interfaces)));
  expect(inventory.cpu).toMatchObject({ ...configured.cpu, frequency: null, architecture: "x86_64" });
  expect(inventory.cpu.flags).toContain("sse4_2");
  expect(inventory.memory.physical_mb).toBe(memoryMiB);
  // The kernel keeps some of it for itself.
  expect(inventory.memory.total).toBeLessThan(memoryMiB * MIB);
  expect(inventory.memory.total).toBeGreaterThan(0.9 * memoryMiB * MIB);
  const { bmc_address, bmc_v6address, bmc_mac } = inventory;
  expect({ bmc_address, bmc_v6address, ...(bmc_mac === undefined ? {} : { bmc_mac }) }).toEqual(
    configured.bmc,
  );
  expect(inventory.system_vendor).toEqual(configured.vendor);
  expect(inventory.boot).toEqual({
    current_boot_mode: firmware,
    pxe_interface: configured.pxeInterface,
  });
  expect(inventory.hostname).toBe("ironic-ramdisk");
}

/** The key in Configured.disks. */
export function diskKey({ tran, serial, name }: InventoryDisk): string {
  return tran === "nvme" ? name : (serial ?? name);
}

function interfaceKey({ name, mac_address }: NetworkInterface): string {
  return name.startsWith("bond") || name.includes(".") ? name : mac_address;
}
