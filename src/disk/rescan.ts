// Makes the kernel and udev see the partitions that are on a disk now. Sources: deploy specification 2.8, 5.2; ramdisks on
// which partitions appeared only after sync and partprobe.

import { errorText } from "../errors.ts";
import type { System } from "../system/system.ts";

export type RescanOptions = {
  /** Runs of partprobe in all (option disk_utils.partprobe_attempts). */
  readonly attempts: number;
  readonly signal: AbortSignal;
};

/** Never fails: what could not be seen shows in what is looked for next. */
export async function rescanPartitions(system: System, disk: string, options: RescanOptions): Promise<void> {
  await system.run(["sync"], { timeout: 3600, signal: options.signal });
  await settleUdev(system, options.signal);
  try {
    await partprobe(system, disk, options);
  } catch (error) {
    options.signal.throwIfAborted();
    system.log.warning(`the kernel could not be told of the partitions of ${disk}: ${errorText(error)}`);
  }
  await settleUdev(system, options.signal);
}

/** Waits until udev has handled what happened so far; a ramdisk without udev has nothing to wait for. */
export async function settleUdev(system: System, signal?: AbortSignal): Promise<void> {
  try {
    await system.run(["udevadm", "settle"], { timeout: 180, ...(signal === undefined ? {} : { signal }) });
  } catch (error) {
    signal?.throwIfAborted();
    system.log.warning(`waiting for udev: ${errorText(error)}`);
  }
}

async function partprobe(system: System, disk: string, { attempts, signal }: RescanOptions): Promise<void> {
  await system.run(["partprobe", disk], { attempts, signal });
}
