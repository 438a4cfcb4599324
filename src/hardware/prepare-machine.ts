// What makes all the machine's disks and its BMC visible before anybody looks: disks that the firmware booted
// from over iSCSI, software RAID arrays, multipath maps, the IPMI drivers. None of it has to work. Rules: hardware
// specification 0.3.

import { errorText } from "../errors.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { enableMultipath } from "./multipath.ts";

const IPMI_MODULES = ["ipmi_msghandler", "ipmi_devintf", "ipmi_si"];

/** Seconds for one program: arrays of many disks and iSCSI targets answer slowly. */
const TIMEOUT = 180;

export async function prepareMachine(system: System): Promise<void> {
  await Promise.all([prepareDisks(system), loadIpmiDrivers(system)]);
}

/** In this order: each may make the disks that the next one works on. */
async function prepareDisks(system: System): Promise<void> {
  await attachFirmwareIscsi(system);
  await assembleArrays(system);
  await enableMultipath(system);
}

/** In their order: the later modules need the first. */
async function loadIpmiDrivers(system: System): Promise<void> {
  for (const module of IPMI_MODULES) {
    await tolerated(system, ["modprobe", module], (reason) => system.log.debug(`no IPMI driver: ${reason}`));
  }
}

/** Connects the disks named in the firmware's iSCSI table (iBFT). */
async function attachFirmwareIscsi(system: System): Promise<void> {
  const found = await tolerated(system, ["iscsistart", "-f"], (reason) =>
    system.log.debug(`no iSCSI disks from the firmware: ${reason}`),
  );
  if (!found) return;
  await tolerated(system, ["iscsistart", "-b"], (reason) =>
    system.log.warning(`attaching the firmware's iSCSI disks: ${reason}`),
  );
}

async function assembleArrays(system: System): Promise<void> {
  await tolerated(system, ["mdadm", "--assemble", "--scan", "--verbose"], (reason, missing) => {
    if (missing) system.log.warning(`software RAID arrays stay unassembled: ${reason}`);
    // mdadm exits with 1 when there was nothing to assemble.
    else system.log.info(`no software RAID array assembled: ${reason}`);
  });
}

async function tolerated(
  system: System,
  argv: readonly string[],
  report: (reason: string, missing: boolean) => void,
): Promise<boolean> {
  try {
    await system.run(argv, { timeout: TIMEOUT });
    return true;
  } catch (error) {
    if (!(error instanceof ProgramMissingError || error instanceof ProgramFailedError)) throw error;
    report(errorText(error), error instanceof ProgramMissingError);
    return false;
  }
}
