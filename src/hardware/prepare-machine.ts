// What makes all the machine's disks and its BMC visible before anybody looks: disks that the firmware booted
// from over iSCSI, software RAID arrays, multipath maps, the IPMI drivers. None of it has to work. A program whose answer sysfs
// already tells is not started: everything waits for these. Rules: hardware specification 0.3.

import { errorText } from "../errors.ts";
import { loadModules } from "../system/kernel-modules.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { startDegradedArrays } from "./degraded-arrays.ts";
import { enableMultipath } from "./multipath.ts";

/** What speaks to a BMC, and makes its device node. Both bring ipmi_msghandler. */
const IPMI_MODULES = ["ipmi_devintf", "ipmi_si"];

/** Where the kernel shows what the firmware says of iSCSI disks: its table (iBFT), what adapters know (iscsi_boot0 …), Open Firmware. */
const FIRMWARE = "/sys/firmware";
const FIRMWARE_ISCSI = /^(?:ibft|iscsi_boot\d+)$/;
const OPEN_FIRMWARE = "/proc/device-tree";

/** Seconds for one program: arrays of many disks and iSCSI targets answer slowly. */
const TIMEOUT = 180;

export async function prepareMachine(system: System, signal?: AbortSignal): Promise<void> {
  await Promise.all([prepareDisks(system, signal), loadModules(system, IPMI_MODULES, "no IPMI driver")]);
}

/** In this order: each may make the disks that the next one works on. */
async function prepareDisks(system: System, signal?: AbortSignal): Promise<void> {
  await attachFirmwareIscsi(system);
  await assembleArrays(system);
  await startDegradedArrays(system, signal);
  await enableMultipath(system);
}

/** Connects the disks named in the firmware's iSCSI table. */
async function attachFirmwareIscsi(system: System): Promise<void> {
  if (!(await firmwareMayTellIscsi(system))) {
    system.log.debug(`no iSCSI disks from the firmware: there is no table in ${FIRMWARE}`);
    return;
  }
  const found = await tolerated(system, ["iscsistart", "-f"], (reason) =>
    system.log.debug(`no iSCSI disks from the firmware: ${reason}`),
  );
  if (!found) return;
  await tolerated(system, ["iscsistart", "-b"], (reason) =>
    system.log.warning(`attaching the firmware's iSCSI disks: ${reason}`),
  );
}

/** Where iscsistart looks itself. */
async function firmwareMayTellIscsi({ files }: System): Promise<boolean> {
  if ((await files.list(FIRMWARE)).some((name) => FIRMWARE_ISCSI.test(name))) return true;
  return (await files.targetKind(OPEN_FIRMWARE)) !== null;
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
