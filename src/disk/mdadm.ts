// The one caller of mdadm: each of its commands that the agent uses, behind a function named for what it does. What mdadm prints
// is read in md-report.ts. Source: hardware specification 9; mdadm(8).

import { errorText } from "../errors.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";

/** Seconds: arrays of many or slow disks are read disk by disk. */
const TIMEOUT = 180;
const ATTEMPTS = 3;

const NO_SUPERBLOCK = "No md superblock detected";

export type NewArray = {
  /** Path of the device that is to be made. */
  readonly device: string;
  /** As mdadm names it: 0, 1, 10, 5, 6. */
  readonly level: string;
  readonly name: string;
  /** Paths of the components, in order. */
  readonly members: readonly string[];
  /** Version of the superblock, "1" unless said otherwise; "1.0" puts it at the end, out of the firmware's way. */
  readonly metadata?: "1.0";
};

/** Puts together every array whose components are there; never fails, as mdadm ends with 1 when there was nothing to do. */
export async function assembleArrays(system: System, signal: AbortSignal): Promise<void> {
  try {
    await system.run(["mdadm", "--assemble", "--scan"], { timeout: TIMEOUT, signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ProgramMissingError)
      system.log.warning(`arrays stay unassembled: ${errorText(error)}`);
    else if (!(error instanceof ProgramFailedError)) throw error;
  }
}

/** What mdadm says of an array; null if the device is none (a partition of one is answered for by the array). */
export async function arrayReport(
  system: System,
  device: string,
  signal: AbortSignal,
): Promise<string | null> {
  try {
    return (await system.run(["mdadm", "--detail", device], { timeout: TIMEOUT, signal })).stdout;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ProgramFailedError || error instanceof ProgramMissingError) return null;
    throw error;
  }
}

/**
 * What mdadm says of a component; null if there is no trace of an array on the device. A plain disk with a partition
 * table is reported by that.
 * @throws ProgramFailedError if the device cannot be read, ProgramMissingError
 */
export async function memberReport(
  system: System,
  device: string,
  signal: AbortSignal,
): Promise<string | null> {
  try {
    return (await system.run(["mdadm", "--examine", device], { timeout: TIMEOUT, signal })).stdout;
  } catch (error) {
    if (error instanceof ProgramFailedError && error.stderr.includes(NO_SUPERBLOCK)) return null;
    throw error;
  }
}

/** @throws ProgramFailedError, ProgramMissingError */
export async function createArray(system: System, array: NewArray, signal: AbortSignal): Promise<void> {
  const { device, level, name, members, metadata = "1" } = array;
  await system.run(
    [
      ...["mdadm", "--create", device, "--force", "--run", `--metadata=${metadata}`, "--level", level],
      ...["--name", name, "--raid-devices", String(members.length), ...members],
    ],
    { timeout: TIMEOUT, signal },
  );
}

/** @throws ProgramFailedError, ProgramMissingError */
export async function addMember(
  system: System,
  array: string,
  member: string,
  signal: AbortSignal,
): Promise<void> {
  await system.run(["mdadm", "--add", array, member], { attempts: ATTEMPTS, timeout: TIMEOUT, signal });
}

/** Tried several times, because udev may have the array open for a moment. @throws ProgramFailedError, ProgramMissingError */
export async function stopArray(system: System, device: string, signal: AbortSignal): Promise<void> {
  await system.run(["mdadm", "--stop", device], { attempts: ATTEMPTS, timeout: TIMEOUT, signal });
}

/** @throws ProgramFailedError, ProgramMissingError */
export async function zeroSuperblock(system: System, device: string, signal: AbortSignal): Promise<void> {
  await system.run(["mdadm", "--zero-superblock", device], { timeout: TIMEOUT, signal });
}
