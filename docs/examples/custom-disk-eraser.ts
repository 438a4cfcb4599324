// A manager that erases one make of disk with its vendor's own command and leaves every other disk to the built-in manager. The clean
// step erase_devices asks it for each disk; there is no step to list here.

import {
  type BlockDevice,
  BlockDeviceEraseError,
  HardwareManager,
  IncompatibleHardwareMethodError,
  type Json,
  type JsonObject,
  ProgramFailedError,
  Support,
  type Work,
} from "ironic-agent";

const MODEL = /^ACME MagicStore/;

/** The vendor's tool: `magicstore-wipe DEVICE` forgets the key that everything on the disk is encrypted with. */
const TOOL = "/opt/acme/bin/magicstore-wipe";

export default class MagicStoreEraser extends HardwareManager {
  override readonly version = "1";

  /** Above the built-in manager, which knows how to erase any disk and would be asked first otherwise. */
  async evaluateHardwareSupport(): Promise<number> {
    return this.context.system.findProgram(TOOL) === null ? Support.none : Support.serviceProvider;
  }

  /** May be called for several disks at the same time. */
  override async eraseBlockDevice(_node: JsonObject, disk: BlockDevice, work?: Work): Promise<Json> {
    if (disk.model === null || !MODEL.test(disk.model))
      throw new IncompatibleHardwareMethodError(`${disk.name} is no MagicStore`); // the next manager erases it

    // Refuses disks of the running system, and everything outside a ramdisk. Never leave this out.
    await this.context.assertMayDestroy(disk.name, "erase");

    const signal = work === undefined ? {} : { signal: work.signal };
    try {
      await this.context.system.run([TOOL, disk.name], { timeout: 3600, ...signal });
    } catch (error) {
      // Only a disk that is really empty may pass: anything else must fail the cleaning.
      if (error instanceof ProgramFailedError)
        throw new BlockDeviceEraseError(`${disk.name} (serial ${disk.serial}): ${error.message}`);
      throw error;
    }
    this.context.metrics.counter("magicstore.erased").increment();
    return { method: "key destroyed", serial: disk.serial };
  }
}
