// Which block devices an erase leaves alone: the medium the agent itself was given, parts of an array (the
// array is erased instead), and what cannot be written. Source: hardware specification 2.7, 8.3, 8.4.

import { errorText } from "../errors.ts";
import type { System } from "../system/system.ts";
import { diskOfPartition } from "./block-tree.ts";

/** The label of the virtual floppy by which Ironic hands over parameters. */
const VIRTUAL_MEDIA = "/dev/disk/by-label/ir-vfd-dev";

export type SpareReason = "virtual media" | "a member of a RAID array" | "read-only";

/** Why `device` (a path) is not to be erased; null if it may be. */
export async function reasonToSpare(
  system: System,
  device: string,
  signal: AbortSignal,
): Promise<SpareReason | null> {
  if (await isVirtualMedia(system, device)) return "virtual media";
  if (await isRaidMember(system, device, signal)) return "a member of a RAID array";
  if (await isReadOnly(system, device)) return "read-only";
  return null;
}

/** True for the medium by which Ironic handed its parameters to the agent. */
export async function isVirtualMedia(system: System, device: string): Promise<boolean> {
  const hasVirtualMedia = (await system.files.kind(VIRTUAL_MEDIA)) === "link";
  return hasVirtualMedia && (await system.files.realPath(VIRTUAL_MEDIA)) === device;
}

/**
 * A disk is a member, too, when one of its partitions is. When nobody can tell it counts as one: it is not
 * erased then.
 */
async function isRaidMember(system: System, device: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { stdout } = await system.run(["lsblk", "--fs", "--noheadings", device], { signal });
    return stdout.includes("linux_raid_member");
  } catch (error) {
    signal.throwIfAborted();
    system.log.warning(`cannot tell whether ${device} is a member of an array: ${errorText(error)}`);
    return true;
  }
}

async function isReadOnly(system: System, device: string): Promise<boolean> {
  const name = device.slice("/dev/".length).replaceAll("/", "!");
  const names = [name, await diskOfPartition(system, name)];
  for (const known of names) {
    if (known !== null && (await system.files.readAttribute(`/sys/class/block/${known}/ro`)) === "1")
      return true;
  }
  return false;
}
