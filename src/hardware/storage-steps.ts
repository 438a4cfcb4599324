// The generic manager's steps that destroy or rebuild storage, joined with what only the hardware layer knows: the listing of the
// devices, the operator's skip list, and the managers that may erase a disk in their own way.

import { reasonToSpare } from "../disk/erasable.ts";
import { readArray } from "../disk/md-arrays.ts";
import { IncompatibleHardwareMethodError, SoftwareRAIDError } from "../errors.ts";
import type { Json, JsonObject } from "../json.ts";
import { burnInSteps } from "../steps/burn-in/steps.ts";
import { eraseDevice } from "../steps/erase-device.ts";
import { eraseDevicesStep } from "../steps/erase-devices.ts";
import { eraseExpressStep } from "../steps/erase-express.ts";
import { eraseMetadataStep } from "../steps/erase-metadata.ts";
import { erasePstoreStep } from "../steps/erase-pstore.ts";
import type { RaidHost } from "../steps/raid-host.ts";
import {
  applyConfigurationStep,
  createConfigurationStep,
  deleteConfigurationStep,
} from "../steps/raid-steps.ts";
import type { Step, StepKind } from "../steps/step.ts";
import type { BlockDevice, ManagerContext, Work } from "./manager.ts";
import { findDevicesByHints, RootDeviceHintError } from "./root-device-hints.ts";
import { skippedByHints, withoutSkipped } from "./skip-list.ts";

/** For callers that neither report nor abort. */
const IDLE: Work = { signal: new AbortController().signal, report: () => undefined };

export class StorageSteps {
  readonly #context: ManagerContext;
  readonly #raid: RaidHost;
  /** Arrays made by this agent of which the operator said whether the operating system goes there, by device. */
  readonly #volumes = new Map<string, boolean>();

  constructor(context: ManagerContext) {
    this.#context = context;
    this.#raid = {
      disks: () => this.#names(false),
      devices: () => this.#names(true),
      spared: (node) => this.#spared(node),
      matching: (hints) => this.#matching(hints),
      volumeCreated: (device, isRootVolume) => void this.#volumes.set(device, isRootVolume),
      volumesDeleted: () => this.#volumes.clear(),
    };
  }

  erasing(kind: StepKind): Step[] {
    const erasable = (node: JsonObject) => this.#erasable(node);
    switch (kind) {
      case "clean":
        return [
          eraseDevicesStep<BlockDevice>({
            list: (node) => this.#disks(node),
            erase: (node, disk, work) => this.#context.dispatch("eraseBlockDevice", node, disk, work),
          }),
          eraseMetadataStep(erasable, { priority: 99, abortable: true }),
          eraseExpressStep(erasable, (node, device) => this.#mustKeep(node, device, IDLE.signal)),
          erasePstoreStep,
        ];
      case "deploy":
        return [eraseMetadataStep(erasable, { priority: 0 })];
      case "service":
        return [];
    }
  }

  raid(kind: StepKind): Step[] {
    switch (kind) {
      case "clean":
        return [deleteConfigurationStep(this.#raid), createConfigurationStep(this.#raid)];
      case "deploy":
        return [applyConfigurationStep(this.#raid)];
      case "service":
        return [
          deleteConfigurationStep(this.#raid),
          applyConfigurationStep(this.#raid),
          createConfigurationStep(this.#raid),
        ];
    }
  }

  burnIn(kind: StepKind): Step[] {
    return burnInSteps(kind, async (node) => (await this.#disks(node)).map(({ name }) => name));
  }

  /** What the generic manager does when it is asked to erase a disk. */
  async eraseBlockDevice(node: JsonObject, disk: BlockDevice, work: Work = IDLE): Promise<Json> {
    const { system, config } = this.#context;
    const mustKeep = (device: string) => this.#mustKeep(node, device, work.signal);
    try {
      return await eraseDevice({ system, config, node, ...work, mustKeep }, disk);
    } catch (error) {
      if (error instanceof IncompatibleHardwareMethodError) work.explain?.(error.details);
      throw error;
    }
  }

  /** The array the operator wants the operating system on, if this agent made it. */
  rootVolume(): string | null {
    return [...this.#volumes].find(([, isRootVolume]) => isRootVolume)?.[0] ?? null;
  }

  /** The disks to choose the root device from: without those to be left alone, and without arrays that are not for it. */
  async installable(node: JsonObject | null, disks: readonly BlockDevice[]): Promise<BlockDevice[]> {
    const { system } = this.#context;
    const left = await withoutSkipped(system, node, disks, {
      emptiedArraysToo: false,
      disksUnderArraysToo: true,
    });
    const taken = new Set<string>();
    for (const [device, isRootVolume] of this.#volumes) {
      if (isRootVolume) continue;
      const array = await readArray(system, device, IDLE.signal);
      for (const used of [device, ...array.holders, ...array.components]) taken.add(used);
    }
    return left.filter(({ name }) => !taken.has(name));
  }

  /** Those that may lose their data. */
  #disks(node: JsonObject): Promise<BlockDevice[]> {
    return this.#list(node, { includePartitions: false, emptiedArraysToo: false });
  }

  async #list(
    node: JsonObject,
    options: { readonly includePartitions: boolean; readonly emptiedArraysToo: boolean },
  ): Promise<BlockDevice[]> {
    const { includePartitions } = options;
    const devices = await this.#context.dispatch("listBlockDevices", { includePartitions });
    return withoutSkipped(this.#context.system, node, devices, options);
  }

  async #erasable(node: JsonObject): Promise<string[]> {
    const devices = await this.#list(node, { includePartitions: true, emptiedArraysToo: true });
    return devices.map(({ name }) => name);
  }

  async #spared(node: JsonObject): Promise<ReadonlySet<string>> {
    const devices = await this.#context.dispatch("listBlockDevices", { includePartitions: true });
    return skippedByHints(this.#context.system, node, devices);
  }

  async #names(includePartitions: boolean): Promise<string[]> {
    const devices = await this.#context.dispatch("listBlockDevices", { includePartitions });
    return devices.map(({ name }) => name);
  }

  async #matching(hints: JsonObject): Promise<string[]> {
    const disks = await this.#context.dispatch("listBlockDevices");
    try {
      return findDevicesByHints(disks, hints).map(({ name }) => name);
    } catch (error) {
      if (!(error instanceof RootDeviceHintError)) throw error;
      throw new SoftwareRAIDError(
        `physical_disks has ${JSON.stringify(hints)}, which cannot be understood: ${error.message}`,
        { cause: error },
      );
    }
  }

  /** Why a device is not to lose its data along with another one. */
  async #mustKeep(node: JsonObject, device: string, signal: AbortSignal): Promise<string | null> {
    const listed = await this.#disks(node);
    if (!listed.some(({ name }) => name === device))
      return "in skip_block_devices, or hidden by a hardware manager";
    return reasonToSpare(this.#context.system, device, signal);
  }
}
