// Power for tests without a machine: remembers what it was told.

import type { Boot, PowerControl, PowerState } from "./power.ts";

export class SimulatedPower implements PowerControl {
  /** All boots so far. */
  readonly boots: Boot[] = [];
  isOn = false;
  plugPulled = 0;

  async on(boot: Boot): Promise<void> {
    this.boots.push(boot);
    this.isOn = true;
  }

  async off(): Promise<void> {
    this.isOn = false;
    this.plugPulled += 1;
  }

  async state(): Promise<PowerState> {
    return this.isOn ? "power on" : "power off";
  }
}
