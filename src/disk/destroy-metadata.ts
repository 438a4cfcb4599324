// Makes one device look empty to firmware, kernel and udev: signatures, and the tables at both ends. Unlike
// the wipe before an image is written (wipe.ts) arrays are not taken apart, which is the RAID interface's
// business; who else is in use is an error. Source: hardware specification 8.8.

import { BlockDeviceError, errorText } from "../errors.ts";
import { lastLines, ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { kernelName } from "./block-tree.ts";
import { destroyTables, removeMaps, wipeSignatures } from "./wipe.ts";

/** What psmisc's fuser says of each process it may not look into: nothing about the device. */
const UNREADABLE_PROCESS = /^Cannot \w+ .*\/proc\/.*$/gm;

export type FreeWait = {
  /** Times to ask whether anybody still uses the device. */
  readonly attempts: number;
  /** Seconds between two of them. */
  readonly interval: number;
};

/**
 * The caller has asked the host guard.
 * @throws ProgramFailedError, ProgramMissingError, BlockDeviceIoError if the metadata could not be destroyed;
 *   BlockDeviceError if the device stays in use
 */
export async function destroyMetadata(
  system: System,
  device: string,
  freeWait: FreeWait,
  signal: AbortSignal,
): Promise<void> {
  const name = await kernelName(system, device);
  if (name !== null) await removeMaps(system, name, signal);
  await wipeSignatures(system, device, signal);
  await destroyTables(system, device, signal);
  await waitUntilFree(system, device, freeWait, signal);
}

async function waitUntilFree(
  system: System,
  device: string,
  { attempts, interval }: FreeWait,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const users = await usersOf(system, device, signal);
    if (users === null) return;
    if (attempt >= attempts)
      throw new BlockDeviceError(
        `${device} is still in use after ${attempts} attempts, ${interval} s apart: ${users}`,
      );
    await system.clock.sleep(interval, signal);
  }
}

/** Null if nobody uses the device; otherwise who does, or why that cannot be told. */
async function usersOf(system: System, device: string, signal: AbortSignal): Promise<string | null> {
  try {
    // Ends with 0 if somebody uses it. psmisc prints the device to stderr and the numbers to stdout, busybox
    // all to stdout.
    const fuser = await system.run(["fuser", device], { allowedExitCodes: [0, 1], signal });
    const processes = fuser.stdout.match(/\d+/g);
    if (fuser.exitCode === 0 && processes !== null) return `by the processes ${processes.join(", ")}`;
    const complaint = lastLines(fuser.stderr.replaceAll(UNREADABLE_PROCESS, ""));
    return complaint === "" ? null : `fuser says: ${complaint}`;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ProgramFailedError) return errorText(error);
    if (!(error instanceof ProgramMissingError)) throw error;
    // The metadata is gone by now; not being able to ask who looks at the device does not bring it back.
    system.log.warning(`fuser (psmisc) is not in the ramdisk: not waiting until nobody uses ${device}`);
    return null;
  }
}
