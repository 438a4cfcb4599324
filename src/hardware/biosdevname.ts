// The name a BIOS gives an interface (em1, p3p1), from a tool that few ramdisks carry.

import { errorText } from "../errors.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";

/** The tool's exit code inside a virtual machine, where there are no such names. */
const IN_VIRTUAL_MACHINE = 4;

export class BiosDeviceNames {
  readonly #system: System;
  /** Told once: a ramdisk without the tool has it for no interface. */
  #missing = false;

  constructor(system: System) {
    this.#system = system;
  }

  /** Null when there is no such name, or nobody to tell it. */
  async nameOf(interfaceName: string): Promise<string | null> {
    if (this.#missing) return null;
    try {
      const { stdout } = await this.#system.run(["biosdevname", "-i", interfaceName]);
      return stdout.replace(/\n+$/, "");
    } catch (error) {
      if (error instanceof ProgramMissingError) {
        if (!this.#missing) this.#system.log.warning(`no BIOS device names: ${errorText(error)}`);
        this.#missing = true;
      } else if (error instanceof ProgramFailedError && error.exitCode === IN_VIRTUAL_MACHINE) {
        this.#system.log.info(`no BIOS device name for ${interfaceName}: this is a virtual machine`);
      } else if (error instanceof ProgramFailedError) {
        this.#system.log.warning(`no BIOS device name for ${interfaceName}: ${errorText(error)}`);
      } else {
        throw error;
      }
      return null;
    }
  }
}
