// Copies what somebody else has put into a file system onto a FAT one. Files and directories only: FAT has nothing else, and a link or
// a device node of a tenant's would bring the ramdisk's files, or another disk, onto the tenant's disk.

import type { System } from "../system/system.ts";

const FILE_TIMEOUT = 600;

/** Merges the directory `from` into `to`, replacing files. @throws ProgramFailedError, FileError */
export async function copyTree(system: System, from: string, to: string, signal: AbortSignal): Promise<void> {
  await system.files.makeDirectory(to);
  for (const name of await system.files.list(from)) {
    const [source, target] = [`${from}/${name}`, `${to}/${name}`];
    const kind = await system.files.kind(source);
    if (kind === "directory") await copyTree(system, source, target, signal);
    else if (kind === "file") await copyFile(system, source, target, signal);
    else system.log.warning(`not copied: ${source}, which is neither file nor directory`);
  }
}

/** `from` must be known to be a file. @throws ProgramFailedError */
export async function copyFile(system: System, from: string, to: string, signal: AbortSignal): Promise<void> {
  await system.run(["cp", "-T", "--preserve=timestamps", "--", from, to], { timeout: FILE_TIMEOUT, signal });
}
