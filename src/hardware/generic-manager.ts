// The manager of every machine: what Linux and its standard tools tell, and the steps that work everywhere.
// It only joins the files of this directory; what each answer means is theirs.

import { HostGuard } from "../disk/host-guard.ts";
import { HardwareManagerMethodNotFound } from "../errors.ts";
import { eraseMetadataStep } from "../steps/erase-metadata.ts";
import type { Step, StepKind } from "../steps/step.ts";
import { writeImageStep } from "../steps/write-image.ts";
import type { Logger } from "../system/log.ts";
import type { System } from "../system/system.ts";
import { BiosDeviceNames } from "./biosdevname.ts";
import { listBlockDevices } from "./block-devices.ts";
import { Bmc } from "./bmc.ts";
import { readBootInfo } from "./boot.ts";
import { readCpu } from "./cpu.ts";
import { chooseInstallDevice, offeredDisks, rootDeviceHints } from "./install-device.ts";
import { collectInventory } from "./inventory.ts";
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
  type SystemVendor,
} from "./manager.ts";
import { readMemory } from "./memory.ts";
import { describeInterface, interfaceNames, linkAddresses } from "./network-interfaces.ts";
import { type Platform, platformVendor, readPlatform } from "./platform.ts";
import { prepareMachine } from "./prepare-machine.ts";
import { Shared } from "./shared.ts";
import { waitForDisks } from "./wait-for-disks.ts";

export class GenericHardwareManager implements HardwareManager {
  readonly className = "GenericHardwareManager";
  readonly name = "generic_hardware_manager";
  readonly version = "1.2";

  readonly #context: ManagerContext;
  readonly #system: System;
  readonly #log: Logger;
  readonly #guard: HostGuard;
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
    this.#bmc = new Bmc(system);
    this.#biosDeviceNames = new BiosDeviceNames(system);
    this.#platform = new Shared(() => readPlatform(system));
    this.#addresses = new Shared(() => linkAddresses(system));
  }

  async evaluateHardwareSupport(): Promise<number> {
    return Support.generic;
  }

  async initialize(): Promise<void> {
    if (await this.#guard.inRamdisk()) {
      await prepareMachine(this.#system);
    } else {
      this.#log.info("not in a ramdisk: no arrays are assembled, no iSCSI disks attached, no drivers loaded");
    }
    await this.waitForDisks();
  }

  async listNetworkInterfaces(): Promise<NetworkInterface[]> {
    const names = await interfaceNames(this.#system);
    const interfaces = await Promise.all(names.map((name) => this.#askForInterface(name)));
    return interfaces.filter((found) => found !== null);
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

  listBlockDevices(options?: { readonly includePartitions?: boolean }): Promise<BlockDevice[]> {
    return listBlockDevices(this.#system, options);
  }

  async getOsInstallDevice({ refresh = false }: { readonly refresh?: boolean } = {}): Promise<string> {
    const { node } = this.#context;
    if (refresh && rootDeviceHints(node.current) === null) await node.refresh();
    const disks = await offeredDisks(this.#guard, await this.listBlockDevices(), this.#log);
    return chooseInstallDevice(disks, rootDeviceHints(node.current));
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
    return readBootInfo(this.#system);
  }

  listHardwareInfo(): Promise<Inventory> {
    return collectInventory(this, {
      hostname: this.#system.hostname,
      skipBmc: this.#context.node.skipBmcDetection,
    });
  }

  async waitForDisks(): Promise<void> {
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
    });
  }

  async steps(kind: StepKind): Promise<readonly Step[]> {
    const erasable = async () => {
      const devices = await this.#context.dispatch("listBlockDevices", { includePartitions: true });
      return devices.map(({ name }) => name);
    };
    switch (kind) {
      case "clean":
        return [eraseMetadataStep(erasable, { priority: 99, abortable: true })];
      case "deploy":
        return [eraseMetadataStep(erasable, { priority: 0 }), writeImageStep];
      case "service":
        return [];
    }
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
