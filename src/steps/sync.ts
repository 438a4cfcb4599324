// The standby command `sync`: everything written reaches the disks before the conductor pulls the plug.

import { CommandExecutionError, errorText } from "../errors.ts";
import type { System } from "../system/system.ts";

/** Seconds: a slow disk with gigabytes of dirty pages is not an error. */
const SYNC_TIMEOUT = 3600;

/**
 * Flushes the file systems and, as well as it can be done, the caches and every disk's buffers.
 * @throws CommandExecutionError if the file systems could not be flushed; the rest is only logged.
 */
export async function syncDisks(system: System, signal?: AbortSignal): Promise<void> {
  try {
    await flushFileSystems(system, signal);
  } catch (error) {
    throw new CommandExecutionError(`Flushing file system buffers failed. Error: ${errorText(error)}`, {
      cause: error,
    });
  }
  await system.files.writeInPlace("/proc/sys/vm/drop_caches", "3").catch((error: unknown) => {
    system.log.warning(`cannot drop the page cache: ${errorText(error)}`);
  });
  for (const name of await system.files.list("/sys/block")) {
    if ((await system.files.readAttribute(`/sys/block/${name}/size`)) === "0") continue;
    await flushDisk(system, `/dev/${name.replaceAll("!", "/")}`).catch((error: unknown) => {
      system.log.warning(`cannot flush the buffers of ${name}: ${errorText(error)}`);
    });
  }
}

/** sync(1): returns when all dirty pages of all file systems are on their devices. */
export async function flushFileSystems(system: System, signal?: AbortSignal): Promise<void> {
  await system.run(["sync"], { timeout: SYNC_TIMEOUT, ...(signal === undefined ? {} : { signal }) });
}

async function flushDisk(system: System, device: string): Promise<void> {
  await system.run(["blockdev", "--flushbufs", device], { timeout: SYNC_TIMEOUT });
}
