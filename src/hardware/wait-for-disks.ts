// Disks may appear late: controllers take their time to start, and a SAN its own. Before anything asks for
// the root disk, wait for it a while; a machine without one still has to come up, so giving up is only a
// warning. Rules: hardware specification 3.5.

import { DeviceNotFound } from "../errors.ts";
import type { Clock } from "../system/clock.ts";
import type { Logger } from "../system/log.ts";

export type DiskWait = {
  /** Finds the disk to install to, or throws DeviceNotFound. */
  readonly find: () => Promise<string>;
  /** 0: do not wait and do not look. */
  readonly attempts: number;
  /** Seconds between two attempts. */
  readonly delay: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal?: AbortSignal | undefined;
};

/** @throws whatever `find` throws, except DeviceNotFound; the signal's reason */
export async function waitForDisks({ find, attempts, delay, clock, log, signal }: DiskWait): Promise<void> {
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    try {
      const device = await find();
      log.debug(`the root disk is ${device}`);
      return;
    } catch (error) {
      if (!(error instanceof DeviceNotFound)) throw error;
      if (attempt === attempts) {
        log.warning(
          `the root disk did not appear within ${delay * (attempts - 1)} seconds: ${error.details}`,
        );
        return;
      }
      log.debug(`attempt ${attempt} of ${attempts} to find the root disk: ${error.details}`);
    }
    await clock.sleep(delay, signal);
  }
}
