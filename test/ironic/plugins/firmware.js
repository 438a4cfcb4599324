// A plug-in for the rig that changes its version in the middle of a cleaning, as one does that came with a newer ramdisk: what
// its first step writes to the disk is its version after the reboot that the step asks for.

import { closeSync, openSync, readSync } from "node:fs";
import { defineStep, HardwareManager, Support } from "ironic-agent";

const DISK = "/dev/vda";
const OFFSET = 6 * 1024 ** 3;
const FLASHED = "2.0";

function versionOnDisk() {
  const buffer = Buffer.alloc(FLASHED.length);
  // Closed again, or the disk would be in use when it is to be erased.
  const disk = openSync(DISK, "r");
  readSync(disk, buffer, 0, buffer.length, OFFSET);
  closeSync(disk);
  return buffer.toString() === FLASHED ? FLASHED : "1.0";
}

const flash = defineStep({
  step: "rig_flash",
  priority: 60,
  reboot_requested: true,
  async run({ system }) {
    await using disk = await system.blockDevices.open(DISK, "write-exclusive");
    await disk.write(new TextEncoder().encode(FLASHED), OFFSET);
    await disk.flush();
  },
});

const settle = defineStep({ step: "rig_settle", priority: 50, run: () => "settled" });

export default class Firmware extends HardwareManager {
  name = "rig_firmware";
  version = versionOnDisk();

  evaluateHardwareSupport() {
    return Support.mainline;
  }

  getCleanSteps() {
    return [flash, settle];
  }
}
