// Mounting a file system for a moment, in a private directory, with nothing on it able to run or to be a device.

import { CommandExecutionError, errorText } from "../errors.ts";
import type { System } from "../system/system.ts";

export type Mounted = AsyncDisposable & {
  /** The mount point. */
  readonly path: string;
};

const UNMOUNT_ATTEMPTS = 3;

/**
 * Mounts `device`; disposing unmounts it (3 attempts) and removes the mount point, never anything below it.
 * @throws ProgramFailedError when it cannot be mounted; on disposal CommandExecutionError when it cannot be unmounted.
 */
export async function mountTemporarily(
  system: System,
  device: string,
  options: { readonly type: string; readonly readOnly: boolean; readonly signal: AbortSignal },
): Promise<Mounted> {
  const directory = await system.files.temporaryMountPoint("ironic-agent-mount-");
  const flags = [options.readOnly ? "ro" : "rw", "nodev", "nosuid", "noexec"].join(",");
  try {
    await system.run(["mount", "-t", options.type, "-o", flags, device, directory.path], {
      signal: options.signal,
    });
  } catch (error) {
    await directory[Symbol.asyncDispose]();
    throw error;
  }
  return {
    path: directory.path,
    [Symbol.asyncDispose]: async () => {
      try {
        await system.run(["umount", directory.path], { attempts: UNMOUNT_ATTEMPTS });
      } catch (error) {
        // The directory stays: removing it would remove what is mounted there.
        throw new CommandExecutionError(
          `Unmounting ${device} from ${directory.path} failed. Attempted ${UNMOUNT_ATTEMPTS} times. ` +
            `Error: ${errorText(error)}`,
          { cause: error },
        );
      }
      await directory[Symbol.asyncDispose]();
    },
  };
}
