// Making file systems and swap space. Which option sets the label and which one makes a tool overwrite what is there
// differs from tool to tool; that is known here and nowhere else. Source: deploy specification 3.2.

import { FileSystemNotSupported } from "../errors.ts";
import { ProgramFailedError } from "../system/programs.ts";
import type { System } from "../system/system.ts";

/** Making one on a large and slow disk takes a while. */
const MKFS_TIMEOUT = 3600;

const FORCE: Readonly<Record<string, string>> = {
  ext2: "-F",
  ext3: "-F",
  ext4: "-F",
  xfs: "-f",
  btrfs: "-f",
};

/**
 * @param type what mkfs calls it: ext4, xfs, vfat …
 * @throws FileSystemNotSupported if the ramdisk has no program for it; ProgramFailedError
 */
export async function makeFileSystem(
  system: System,
  device: string,
  options: { readonly type: string; readonly label: string; readonly signal: AbortSignal },
): Promise<void> {
  const { type, label, signal } = options;
  const fat = type === "vfat" || type === "msdos";
  const force = FORCE[type];
  const argv = [
    "mkfs",
    "-t",
    type,
    ...(force === undefined ? [] : [force]),
    fat ? "-n" : "-L",
    label,
    device,
  ];
  try {
    await system.run(argv, { timeout: MKFS_TIMEOUT, signal });
  } catch (error) {
    if (error instanceof ProgramFailedError && error.stderr.includes("No such file or directory"))
      throw new FileSystemNotSupported(type, { cause: error });
    throw error;
  }
}

/** @throws ProgramFailedError */
export async function makeSwap(
  system: System,
  device: string,
  label: string,
  signal: AbortSignal,
): Promise<void> {
  await system.run(["mkswap", "-L", label, device], { timeout: MKFS_TIMEOUT, signal });
}
