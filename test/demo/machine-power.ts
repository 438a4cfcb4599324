// The power button of a QEMU machine, for a conductor. Booting the ramdisk is a direct kernel boot with the parameters
// that a boot server would pass.

import type { Boot, PowerControl, PowerState } from "../kit/power.ts";
import type { Machine } from "../rig/machine.ts";
import type { Ramdisk } from "../rig/ramdisk.ts";

export class MachinePower implements PowerControl {
  readonly #machine: Machine;
  readonly #ramdisk: Ramdisk;

  constructor(machine: Machine, ramdisk: Ramdisk) {
    this.#machine = machine;
    this.#ramdisk = ramdisk;
  }

  async on(boot: Boot): Promise<void> {
    await this.#machine.start(
      boot.device === "disk"
        ? { disk: true }
        : { ...this.#ramdisk, cmdline: boot.kernelParameters.join(" ") },
    );
  }

  async off(): Promise<void> {
    await this.#machine.powerOff();
  }

  async state(): Promise<PowerState> {
    return this.#machine.running ? "power on" : "power off";
  }
}
