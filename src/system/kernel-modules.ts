// Drivers that the kernel does not load by itself. What is loaded or built in shows in sysfs, and then no modprobe is started: the
// ramdisk's udev has most often been there before the agent.

import { errorText } from "../errors.ts";
import { ProgramFailedError, ProgramMissingError } from "./programs.ts";
import type { System } from "./system.ts";

/**
 * Loads these modules, one after the other, with what they need; the kernel's own spelling, with underscores. One that cannot be loaded
 * is only a debug line, which begins with `without`: most machines lack the hardware or the module.
 */
export async function loadModules(system: System, names: readonly string[], without: string): Promise<void> {
  for (const name of names) {
    if ((await system.files.targetKind(`/sys/module/${name}`)) !== null) continue;
    try {
      await system.run(["modprobe", name]);
    } catch (error) {
      if (!(error instanceof ProgramMissingError || error instanceof ProgramFailedError)) throw error;
      system.log.debug(`${without}: ${errorText(error)}`);
    }
  }
}
