// Mounting for a moment. Nothing that is mounted here may be a device or give rights, and nothing runs from it unless it is
// asked for; whatever happens, it is unmounted again, and nothing is ever deleted below a mount point.

import { CommandExecutionError, errorText } from "../errors.ts";
import { loadModules } from "../system/kernel-modules.ts";
import type { System } from "../system/system.ts";

export type Mounted = AsyncDisposable & {
  /** The mount point. */
  readonly path: string;
};

export type MountOptions = {
  /** What mount(8) calls the file system; null lets it find out. */
  readonly type: string | null;
  readonly readOnly: boolean;
  /** Programs on it may be run. */
  readonly executable?: boolean;
  /** `device` is a regular file with a file system in it. */
  readonly isFile?: boolean;
  readonly signal: AbortSignal;
};

const UNMOUNT_ATTEMPTS = 3;

/**
 * Mounts `device` in a private directory; disposing unmounts it (3 attempts) and removes the mount point.
 * @throws ProgramFailedError when it cannot be mounted; on disposal CommandExecutionError when it cannot be unmounted.
 */
export async function mountTemporarily(
  system: System,
  device: string,
  options: MountOptions,
): Promise<Mounted> {
  const directory = await system.files.temporaryMountPoint("ironic-agent-mount-");
  try {
    const mounted = await mountOn(system, device, directory.path, options);
    return {
      path: directory.path,
      [Symbol.asyncDispose]: async () => {
        // A mount point that could not be freed stays: removing it would remove what is mounted there.
        await mounted[Symbol.asyncDispose]();
        await directory[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await directory[Symbol.asyncDispose]();
    throw error;
  }
}

/** Mounts `device` on an existing directory. Throws as mountTemporarily does. */
export async function mountOn(
  system: System,
  device: string,
  path: string,
  { type, readOnly, executable, isFile, signal }: MountOptions,
): Promise<Mounted> {
  const flags = [readOnly ? "ro" : "rw", "nodev", "nosuid"];
  if (executable !== true) flags.push("noexec");
  if (isFile === true) {
    // Without it there is no /dev/loop-control to ask for a device.
    await loadModules(system, ["loop"], "files cannot be mounted");
    flags.push("loop");
  }
  const typed = type === null ? [] : ["-t", type];
  await system.run(["mount", ...typed, "-o", flags.join(","), device, path], { signal });
  return { path, [Symbol.asyncDispose]: () => unmount(system, device, path) };
}

/** Shows the directory `source` a second time at `path`, read-only; what is a device there stays one. */
export async function bindReadOnly(
  system: System,
  source: string,
  path: string,
  signal: AbortSignal,
): Promise<Mounted> {
  await system.run(["mount", "-o", "bind", source, path], { signal });
  const bound = { path, [Symbol.asyncDispose]: () => unmount(system, source, path) };
  try {
    await system.run(["mount", "-o", "remount,bind,ro", path], { signal });
    return bound;
  } catch (error) {
    await bound[Symbol.asyncDispose]();
    throw error;
  }
}

/** @throws CommandExecutionError after 3 attempts */
export async function unmount(system: System, device: string, path: string): Promise<void> {
  try {
    await system.run(["umount", path], { attempts: UNMOUNT_ATTEMPTS });
  } catch (error) {
    throw new CommandExecutionError(
      `Unmounting ${device} from ${path} failed. Attempted ${UNMOUNT_ATTEMPTS} times. Error: ${errorText(error)}`,
      { cause: error },
    );
  }
}
