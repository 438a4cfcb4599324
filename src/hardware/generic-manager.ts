// The manager of every machine: what Linux and its standard tools tell, and the steps that work everywhere.
// It only joins the files of this directory; what each answer means is theirs.

import { HostGuard } from "../disk/host-guard.ts";
import { unmountConfigDrive } from "../disk/virtual-media.ts";
import { HardwareManagerMethodNotFound } from "../errors.ts";
import type { Json, JsonObject } from "../json.ts";
import type { Step, StepKind } from "../steps/step.ts";
import type { Logger } from "../system/log.ts";
import type { System } from "../system/system.ts";
import { BiosDeviceNames } from "./biosdevname.ts";
import { listBlockDevices } from "./block-devices.ts";
import { Bmc } from "./bmc.ts";
import { readBootInfo } from "./boot.ts";
import { readCpu } from "./cpu.ts";
import { chooseInstallDevice, offeredDisks, rootDeviceHints } from "./install-device.ts";
import { listInterfaces } from "./interface-listing.ts";
import { collectInventory } from "./inventory.ts";
import { captureLldp, type LldpData } from "./lldp.ts";
import { lshwUsbDevices } from "./lshw.ts";
import {
  type BlockDevice,
  type BootInfo,
  type Cpu,
  type HardwareManager,
  type Inventory,
  type ManagerContext,
  type Memory,
  type NetworkInterface,
  Support,
  type SystemLogs,
  type SystemVendor,
  type UsbDevice,
  type Work,
} from "./manager.ts";
import { readMemory } from "./memory.ts";
import { describeInterface, linkAddresses } from "./network-interfaces.ts";
import { type Platform, platformVendor, readPlatform } from "./platform.ts";
import { prepareMachine } from "./prepare-machine.ts";
import { Shared } from "./shared.ts";
import { StorageSteps } from "./storage-steps.ts";
import { systemSteps } from "./system-steps.ts";
import { udevLogs } from "./udev-logs.ts";
import { waitForDisks } from "./wait-for-disks.ts";

export class GenericHardwareManager implements HardwareManager {
  readonly className = "GenericHardwareManager";
  readonly name = "generic_hardware_manager";
  readonly version = "1.2";

  readonly #context: ManagerContext;
  readonly #system: System;
  readonly #log: Logger;
  readonly #guard: HostGuard;
  readonly #storage: StorageSteps;
  readonly #bmc: Bmc;
  readonly #biosDeviceNames: BiosDeviceNames;
  /** Memory and vendor come from the same source, and all interfaces' addresses from one call. */
  readonly #platform: Shared<Platform>;
  readonly #addresses: Shared<Awaited<ReturnType<typeof linkAddresses>>>;

  constructor(context: ManagerContext) {
    const { system, config } = context;
    this.#context = context;
    this.#system = system;
    this.#log = system.log;
    this.#guard = new HostGuard(system, { allowHostDisks: config.get("allow_host_disks") });
    this.#storage = new StorageSteps(context);
    this.#bmc = new Bmc(system);
    this.#biosDeviceNames = new BiosDeviceNames(system);
    this.#platform = new Shared(() => readPlatform(system, context.lshw));
    this.#addresses = new Shared(() => linkAddresses(system));
  }

  async evaluateHardwareSupport(): Promise<number> {
    return Support.generic;
  }

  async initialize(signal?: AbortSignal): Promise<void> {
    if (this.#context.besideAgent) {
      this.#log.info("an agent runs here: what it has made ready is left as it is");
    } else if (await this.#guard.inRamdisk()) {
      await unmountConfigDrive(this.#system);
      await prepareMachine(this.#system, signal);
    } else {
      this.#log.info("not in a ramdisk: no arrays are assembled, no iSCSI disks attached, no drivers loaded");
    }
    await this.waitForDisks(signal);
  }

  async listNetworkInterfaces(options: { readonly collectLldp?: boolean } = {}): Promise<NetworkInterface[]> {
    const { config, dispatch, filterDevices } = this.#context;
    const interfaces = await listInterfaces(this.#system, {
      describe: (name) => this.#askForInterface(name),
      collectLldp: (names) => dispatch("collectLldpData", names),
      vlans: config.get("enable_vlan_interfaces"),
      lldp: config.get("collect_lldp"),
      quick: options.collectLldp === false,
    });
    return filterDevices("interface", interfaces);
  }

  async getUsbDevices(): Promise<UsbDevice[]> {
    return this.#context.filterDevices("usb", lshwUsbDevices(await this.#context.lshw()));
  }

  collectLldpData(interfaceNames: readonly string[], signal?: AbortSignal): Promise<LldpData> {
    return captureLldp(this.#system, interfaceNames, this.#context.config.get("lldp_timeout"), signal);
  }

  async getInterfaceInfo(name: string): Promise<NetworkInterface> {
    const addresses = await this.#addresses.get();
    return describeInterface(this.#system, name, {
      addresses: addresses.get(name),
      biosDeviceNames: this.#biosDeviceNames,
      ignoreFaMacs: this.#context.config.get("ignore_fa_mac_addresses"),
    });
  }

  getCpus(): Promise<Cpu> {
    return readCpu(this.#system);
  }

  async getMemory(): Promise<Memory> {
    return readMemory(this.#system, await this.#platform.get());
  }

  async getSystemVendorInfo(): Promise<SystemVendor> {
    return platformVendor(await this.#platform.get());
  }

  async listBlockDevices(options?: { readonly includePartitions?: boolean }): Promise<BlockDevice[]> {
    return this.#context.filterDevices("disk", await listBlockDevices(this.#system, options));
  }

  async getOsInstallDevice({ refresh = false }: { readonly refresh?: boolean } = {}): Promise<string> {
    const { node } = this.#context;
    if (refresh && rootDeviceHints(node.current) === null) await node.refresh();
    const hints = rootDeviceHints(node.current);
    const rootVolume = this.#storage.rootVolume();
    if (rootVolume !== null) {
      if (hints !== null)
        this.#log.warning(`${rootVolume} is the root volume; root device hints are ignored`);
      return rootVolume;
    }
    const installable = await this.#storage.installable(node.current, await this.listBlockDevices());
    return chooseInstallDevice(await offeredDisks(this.#guard, installable, this.#log), hints);
  }

  getBmcAddress(): Promise<string | null> {
    return this.#bmc.address();
  }

  getBmcV6Address(): Promise<string | null> {
    return this.#bmc.v6Address();
  }

  getBmcMac(): Promise<string | null> {
    return this.#bmc.mac();
  }

  getBootInfo(): Promise<BootInfo> {
    return readBootInfo(this.#system, this.#context.config);
  }

  listHardwareInfo(): Promise<Inventory> {
    return collectInventory(this, {
      hostname: this.#system.hostname,
      skipBmc: this.#context.node.skipBmcDetection,
    });
  }

  async waitForDisks(signal?: AbortSignal): Promise<void> {
    const { config, system } = this.#context;
    if (!config.get("allow_host_disks") && !(await this.#guard.inRamdisk())) {
      this.#log.info("not in a ramdisk: nothing will be installed here, so no disk is waited for");
      return;
    }
    await waitForDisks({
      find: () => this.getOsInstallDevice(),
      attempts: config.get("disk_wait_attempts"),
      delay: config.get("disk_wait_delay"),
      clock: system.clock,
      log: this.#log,
      signal,
    });
  }

  async collectSystemLogs(): Promise<SystemLogs> {
    return { outputs: await udevLogs(this.#system), files: [] };
  }

  async steps(kind: StepKind): Promise<readonly Step[]> {
    const erasing = this.#storage.erasing(kind);
    const raid = this.#storage.raid(kind);
    const burnIn = this.#storage.burnIn(kind);
    const system = systemSteps(kind, this.#context.config);
    // The order of the reference's lists.
    return kind === "clean"
      ? [...erasing, ...system, ...raid, ...burnIn]
      : [...erasing, ...raid, ...burnIn, ...system];
  }

  eraseBlockDevice(node: JsonObject, device: BlockDevice, work?: Work): Promise<Json> {
    return this.#storage.eraseBlockDevice(node, device, work);
  }

  /** A vendor's manager may know an interface better; one that nobody can describe is left out. */
  async #askForInterface(name: string): Promise<NetworkInterface | null> {
    try {
      return await this.#context.dispatch("getInterfaceInfo", name);
    } catch (error) {
      if (!(error instanceof HardwareManagerMethodNotFound)) throw error;
      this.#log.warning(`network interface ${name} is left out: no hardware manager can describe it`);
      return null;
    }
  }
}
