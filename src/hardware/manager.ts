// What a hardware manager is: an object that knows some of the machine and may be asked for facts and steps.
// Every method but the evaluation is optional, and each may throw IncompatibleHardwareMethodError for "not
// mine, ask the next one": that is how a vendor's manager overrides one answer and leaves the rest to the
// generic one. Records that end on the wire keep the wire's names.

import type { Config } from "../config/config.ts";
import type { Json, JsonObject } from "../json.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { ReportProgress } from "../progress.ts";
import type { Step, StepKind } from "../steps/step.ts";
import type { System } from "../system/system.ts";
import type { LldpData, LldpTlvs } from "./lldp.ts";
import type { NodeCache } from "./node-cache.ts";

/** How well a manager supports this machine; site-specific managers may answer more than 3. */
export const Support = { none: 0, generic: 1, mainline: 2, serviceProvider: 3 } as const;

/** What a manager may be asked for; a method that it lacks is the next manager's. */
export interface HardwareMethods {
  /**
   * `collectLldp: false` spares the wait for LLDP frames, which the option collect_lldp else brings: for those who only wait
   * for an interface or its address.
   */
  listNetworkInterfaces?(options?: { readonly collectLldp?: boolean }): Promise<NetworkInterface[]>;
  getInterfaceInfo?(interfaceName: string): Promise<NetworkInterface>;
  /** What LLDP tells on each of these interfaces; takes up to lldp_timeout and longer. */
  collectLldpData?(interfaceNames: readonly string[], signal?: AbortSignal): Promise<LldpData>;
  /** For the inspection; not in the inventory. */
  getUsbDevices?(): Promise<UsbDevice[]>;
  getCpus?(): Promise<Cpu>;
  getMemory?(): Promise<Memory>;
  /** Whole disks in lsblk's order; with `includePartitions`, the partitions after them. */
  listBlockDevices?(options?: { readonly includePartitions?: boolean }): Promise<BlockDevice[]>;
  /**
   * Path of the disk to install to. `refresh` allows one look-up of the node when it has no root device
   * hints.
   */
  getOsInstallDevice?(options?: { readonly refresh?: boolean }): Promise<string>;
  getBmcAddress?(): Promise<string | null>;
  getBmcV6Address?(): Promise<string | null>;
  getBmcMac?(): Promise<string | null>;
  getBootInfo?(): Promise<BootInfo>;
  getSystemVendorInfo?(): Promise<SystemVendor>;
  listHardwareInfo?(): Promise<Inventory>;
  /**
   * Returns when the root disk is there or the configured attempts are used up; never fails for a missing
   * disk.
   */
  waitForDisks?(signal?: AbortSignal): Promise<void>;
  /** Hides (null) or changes one device of a listing. The first manager that does not pass decides. */
  filterDevice?(device: ListedDevice, kind: DeviceKind): Promise<ListedDevice | null>;
  /**
   * Destroys all data of one device in the way that suits it best; may run for several devices at once.
   * @throws IncompatibleHardwareMethodError if it knows no way, BlockDeviceEraseError if the way failed
   */
  eraseBlockDevice?(node: JsonObject, device: BlockDevice, work?: Work): Promise<Json>;
  /** What this manager adds to the logs that a conductor collects after a failure. */
  collectSystemLogs?(signal?: AbortSignal): Promise<SystemLogs>;
  /** Writes out what this manager's devices still hold back, after the file systems were flushed; all managers are asked. */
  fullSync?(): Promise<void>;
}

export interface HardwareManager extends HardwareMethods {
  /** The key under which conductors see its steps, e.g. "GenericHardwareManager". */
  readonly className: string;
  /** The name in `hardware_manager_version`; conductors store it. */
  readonly name: string;
  readonly version: string;

  /** 0 or less: this manager has nothing to do on this machine. Asked once, must not change the machine. */
  evaluateHardwareSupport(): Promise<number>;
  /** Prepares the machine; called once, in support order, after all managers were evaluated. */
  initialize?(signal?: AbortSignal): Promise<void>;

  /** The steps of one kind it offers for this node, each with the function that does the work. */
  steps?(kind: StepKind, node: JsonObject, ports: Json): Promise<readonly Step[]>;

  /** Methods that this manager has beyond those above, for other managers, by the names they are asked by. */
  readonly ownMethods?: Readonly<Record<string, (args: Json[], work: Partial<Work>) => Promise<Json>>>;
}

/** What long work may use. */
export type Work = {
  /** Aborted when the agent is told to end. */
  readonly signal: AbortSignal;
  readonly report: ReportProgress;
  /** Takes why a manager passes, for the operator to read should no other take over. */
  readonly explain?: (reason: string) => void;
};

/** Members of the archive of system logs. */
export type SystemLogs = {
  /** Text by the name of its member, e.g. `acme-card` or `acme/card0`. */
  readonly outputs: Readonly<Record<string, string>>;
  /** Absolute paths of files to take as they are. */
  readonly files: readonly string[];
};

export type DeviceKind = "disk" | "interface" | "usb";
export type ListedDevice = BlockDevice | NetworkInterface | UsbDevice;

/** What a manager gets to work with. */
export type ManagerContext = {
  readonly system: System;
  readonly config: Config;
  readonly node: NodeCache;
  readonly dispatch: Dispatch;
  /** Asks only the managers that come after `self`: how a manager adds to an answer instead of replacing it. */
  readonly dispatchAfter: DispatchAfter;
  /** Asks for a method that only plug-ins know (`ownMethods`); `work` is what it is a part of, if it is. */
  readonly dispatchOwn: (method: string, args: Json[], work?: Partial<Work>) => Promise<Json>;
  /** All that are in use, highest support first; none before they were evaluated. */
  readonly managers: () => readonly HardwareManager[];
  /** A listing without the devices that a manager hides, and with the others as the managers want them shown. */
  readonly filterDevices: FilterDevices;
  /** lshw's tree, from one run for all who ask at the same time: it looks at the whole machine. @throws as Lshw.tree */
  readonly lshw: () => Promise<JsonObject>;
  readonly metrics: Metrics;
  /** An agent runs in another process: it has made the machine ready, and works on it. */
  readonly besideAgent: boolean;
};

/** Makes a manager; called once per agent. */
export type ManagerFactory = (context: ManagerContext) => HardwareManager;

type Calls = { [K in keyof HardwareMethods]-?: NonNullable<HardwareMethods[K]> };

/** The methods that are asked by dispatch: first manager that has one and does not pass. */
export type ManagerMethod = keyof Calls;
export type MethodArguments<M extends ManagerMethod> = Parameters<Calls[M]>;
export type MethodResult<M extends ManagerMethod> = Awaited<ReturnType<Calls[M]>>;

export type Dispatch = <M extends ManagerMethod>(
  method: M,
  ...args: MethodArguments<M>
) => Promise<MethodResult<M>>;

export type DispatchAfter = <M extends ManagerMethod>(
  self: HardwareManager,
  method: M,
  ...args: MethodArguments<M>
) => Promise<MethodResult<M>>;

export type FilterDevices = <D extends ListedDevice>(kind: DeviceKind, devices: readonly D[]) => Promise<D[]>;

// --- The records of the inventory, with all their fields always present and null for unknown (hardware
// specification 1–6). ---

export type Inventory = {
  interfaces: NetworkInterface[];
  cpu: Cpu;
  disks: InventoryDisk[];
  memory: Memory;
  bmc_address: string | null;
  bmc_v6address: string | null;
  system_vendor: SystemVendor;
  boot: BootInfo;
  hostname: string;
  /** Absent when unknown. */
  bmc_mac?: string;
};

export type NetworkInterface = {
  name: string;
  mac_address: string;
  ipv4_address: string | null;
  /** Link-local addresses carry their zone: `fe80::1%eth0`. */
  ipv6_address: string | null;
  has_carrier: boolean;
  /** Pairs of TLV type and value in hex; null when LLDP was not collected. */
  lldp: LldpTlvs | null;
  vendor: string | null;
  product: string | null;
  /** InfiniBand's DHCP client id. */
  client_id: string | null;
  biosdevname: string | null;
  speed_mbps: number | null;
  pci_address: string | null;
  driver: string | null;
};

export type Cpu = {
  model_name: string | null;
  /** MHz, as printed by lscpu. */
  frequency: string | null;
  /** Logical CPUs. */
  count: number;
  architecture: string | null;
  flags: string[];
  socket_count: number;
};

export type Memory = {
  /** Bytes the kernel manages. */
  total: number | null;
  /** MiB of the modules in the machine; null if nothing could tell. */
  physical_mb: number | null;
};

export type SystemVendor = {
  product_name: string;
  serial_number: string;
  manufacturer: string;
  firmware: { vendor: string; version: string; build_date: string };
};

export type BootInfo = {
  current_boot_mode: "uefi" | "bios";
  /** The kernel parameter BOOTIF as it is. */
  pxe_interface: string | null;
};

/** A disk as the inventory shows it. */
export type InventoryDisk = {
  /** Path of the device node. */
  name: string;
  model: string | null;
  /** Bytes. */
  size: number;
  rotational: boolean;
  wwn: string | null;
  serial: string | null;
  vendor: string | null;
  wwn_with_extension: string | null;
  wwn_vendor_extension: string | null;
  /** SCSI address host:channel:target:lun. */
  hctl: string | null;
  by_path: string | null;
  /** Bytes. */
  logical_sectors: number | null;
  physical_sectors: number | null;
  tran: string | null;
};

/** A disk or partition, with what only the agent itself uses. */
export type BlockDevice = InventoryDisk & {
  readonly uuid: string | null;
  readonly partuuid: string | null;
  /**
   * Every serial number and WWN any source knows, so that a root device hint taken from any of them matches.
   */
  readonly all_serials: readonly (string | null)[];
  readonly all_wwns: readonly (string | null)[];
};

/** A device on the USB bus that is neither bridge nor hub. */
export type UsbDevice = { product: string; vendor: string; handle: string };
