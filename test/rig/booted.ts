// Waits until a deployed system says who it is, and checks that it is the one that was deployed: its node's UUID comes from
// the config drive, so a marker with the right UUID proves that the disk, the boot loader and the config drive are right.

import { BOOTED_MARKER, NO_CONFIG_DRIVE_MARKER } from "./image.ts";
import type { Machine } from "./machine.ts";

export interface BootedSystem {
  /** One line for people. */
  text: string;
  hostname: string;
  /** Device of the root file system. */
  root: string;
}

/** Throws when nothing is said within `timeout` milliseconds, without a config drive, and with somebody else's. */
export async function waitUntilBooted(
  machine: Machine,
  expected: { uuid: string; boot: string },
  wait: { timeout: number; signal: AbortSignal },
): Promise<BootedSystem> {
  const pattern = new RegExp(`${BOOTED_MARKER.source}|${NO_CONFIG_DRIVE_MARKER.source}`);
  const match = await machine.waitForConsole(pattern, wait);
  const { uuid, boot, hostname = "", root = "" } = match.groups ?? {};
  if (uuid === undefined || boot === undefined) {
    throw new Error("The deployed system has come up, but found no config drive.");
  }
  if (uuid !== expected.uuid) {
    throw new Error(`The deployed system read UUID ${uuid} from its config drive, not ${expected.uuid}.`);
  }
  if (boot !== expected.boot) {
    throw new Error(`The deployed system was booted by ${boot}, not by ${expected.boot}.`);
  }
  return { text: `${hostname}, booted by ${boot} from ${root}, node ${uuid}`, hostname, root };
}
