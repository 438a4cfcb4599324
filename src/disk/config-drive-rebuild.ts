// A config drive that cannot be read where it was written is made anew there, as FAT: disks with 4096-byte sectors cannot hold
// the ISO file system of 2048-byte blocks that everybody sends. Source: deploy specification 4.6.

import { DeploymentError, errorText } from "../errors.ts";
import type { System } from "../system/system.ts";
import { ISO_BLOCK, isIso } from "./config-drive-content.ts";
import { copyTree } from "./copy-tree.ts";
import { makeFileSystem } from "./make-file-system.ts";
import { type Mounted, mountTemporarily } from "./mounts.ts";
import { settleUdev } from "./rescan.ts";

const LABEL = "CONFIG-2";

/** False if the kernel cannot mount it, for whatever reason. */
export async function canBeMounted(system: System, partition: string, signal: AbortSignal): Promise<boolean> {
  try {
    await using _mounted = await mountTemporarily(system, partition, { type: null, readOnly: true, signal });
    return true;
  } catch (error) {
    signal.throwIfAborted();
    system.log.info(`the config drive on ${partition} cannot be mounted: ${errorText(error)}`);
    return false;
  }
}

/**
 * Replaces what is on the partition by a FAT file system with the same files. Content that cannot be mounted here at all stays as it
 * is: the deployed system may know it. An ISO on a disk with larger sectors than its blocks nobody can mount.
 * @throws DeploymentError
 */
export async function rebuildAsFat(
  system: System,
  partition: string,
  content: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  await using directory = await system.files.temporaryDirectory("ironic-agent-config-drive-");
  const file = `${directory.path}/content`;
  {
    await using sink = await system.files.create(file);
    await sink.write(content, 0);
  }
  const source = await mountSource(system, file, signal);
  if ("fault" in source) {
    if (await isUnreadable(system, partition, content))
      throw new DeploymentError(
        `The config drive is an ISO, which nobody can read on ${partition} with its sectors of more than ${ISO_BLOCK} bytes, and ` +
          `it could not be made anew as FAT: ${source.fault}. The ramdisk needs the kernel modules loop, isofs and vfat.`,
      );
    system.log.warning(`the config drive is left as it is, it cannot be read here: ${source.fault}`);
    return;
  }
  await using from = source;
  try {
    await makeFileSystem(system, partition, { type: "vfat", label: LABEL, signal });
    {
      await using to = await mountTemporarily(system, partition, { type: "vfat", readOnly: false, signal });
      await copyTree(system, from.path, to.path, signal);
    }
    await settleUdev(system, signal);
    system.log.info(`made the config drive on ${partition} anew, as FAT`);
  } catch (error) {
    signal.throwIfAborted();
    throw new DeploymentError(
      `Rebuilding the config drive as FAT on ${partition} failed. Error: ${errorText(error)}`,
      { cause: error },
    );
  }
}

/** `fault`: why it cannot be mounted. */
async function mountSource(
  system: System,
  file: string,
  signal: AbortSignal,
): Promise<Mounted | { readonly fault: string }> {
  try {
    return await mountTemporarily(system, file, { type: null, readOnly: true, isFile: true, signal });
  } catch (error) {
    signal.throwIfAborted();
    return { fault: errorText(error) };
  }
}

async function isUnreadable(system: System, partition: string, content: Uint8Array): Promise<boolean> {
  await using device = await system.blockDevices.open(partition, "read");
  return isIso(content) && device.sectorSize > ISO_BLOCK;
}
