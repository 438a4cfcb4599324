// What the tests of the hardware layer share: managers on a recorded system, and disks with only the
// interesting fields given.

import { Config } from "../../src/config/config.ts";
import type { OptionValues } from "../../src/config/options.ts";
import { GenericHardwareManager } from "../../src/hardware/generic-manager.ts";
import type { BlockDevice, ManagerFactory } from "../../src/hardware/manager.ts";
import { HardwareManagers } from "../../src/hardware/managers.ts";
import { Deployment } from "../../src/steps/deployment.ts";
import { type RecordedSystem, type Recording, recordedSystem } from "../support/recorded-system.ts";

/** The mount table of a ramdisk, as the rig's has it. */
export const RAMDISK_FILES = {
  "/proc/self/mountinfo": "1 1 0:2 / / rw - rootfs rootfs rw\n",
  "/proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n",
};

export type Harness = { readonly system: RecordedSystem; readonly managers: HardwareManagers };

/** The generic manager (or others) on a recorded machine, not loaded yet. */
export function managersOn(
  recording: Recording,
  values: Partial<OptionValues> = {},
  factories: readonly ManagerFactory[] = [(context) => new GenericHardwareManager(context)],
): Harness {
  const system = recordedSystem(recording);
  const managers = new HardwareManagers({
    system,
    config: Config.of(values),
    deployment: new Deployment(),
    factories,
  });
  return { system, managers };
}

/** A disk of 10 GiB of which nothing else is known. */
export function disk(given: Partial<BlockDevice> & { readonly name: string }): BlockDevice {
  return {
    model: null,
    size: 10 * 2 ** 30,
    rotational: false,
    wwn: null,
    serial: null,
    vendor: null,
    wwn_with_extension: null,
    wwn_vendor_extension: null,
    hctl: null,
    by_path: null,
    logical_sectors: 512,
    physical_sectors: 512,
    tran: null,
    uuid: null,
    partuuid: null,
    all_serials: [given.serial ?? null],
    all_wwns: [given.wwn ?? null],
    ...given,
  };
}
