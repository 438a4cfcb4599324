// Shared file systems: disks that several machines write to at the same time. Erasing one from here destroys
// the data of all of them, so disks that look like one are refused. Source: ironic-python-agent's guard
// (hardware specification 2.8), with its three holes closed: the file system type is asked for, case does not
// matter, every row counts.

import { BlockDeviceError } from "../errors.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import type { System } from "../system/system.ts";

/** Partition types and identifiers, in lower case, as any of the identifier columns may show them. */
const PARTITION_TYPES: ReadonlyMap<string, string> = new Map([
  ["37affc90-ef7d-4e96-91c3-2d7ae055b174", "IBM General Parallel File System"],
  ["aa31e02a-400f-11db-9590-000c2911d1b8", "VMware Virtual Machine File System"],
  ["0xfb", "VMware Virtual Machine File System"],
]);
const FILE_SYSTEMS: ReadonlyMap<string, string> = new Map([["gfs2", "Red Hat Global File System 2"]]);

/** What a disk or one of its partitions holds that must not be erased; null if nothing. */
export async function findSpecialFileSystem(
  system: System,
  device: string,
  signal: AbortSignal,
): Promise<string | null> {
  return recognize(await identifiersOf(system, device, signal));
}

/** The first special content in rows of lsblk; null if there is none. */
export function recognize(rows: readonly JsonObject[]): string | null {
  for (const row of rows) {
    for (const [column, value] of Object.entries(row)) {
      if (typeof value !== "string") continue;
      const known = column === "fstype" ? FILE_SYSTEMS : PARTITION_TYPES;
      const content = known.get(value.toLowerCase());
      if (content !== undefined) return content;
    }
  }
  return null;
}

/** One row for the device and one for everything on it. */
async function identifiersOf(system: System, device: string, signal: AbortSignal): Promise<JsonObject[]> {
  const argv = ["lsblk", "-bia", "--json", "-oUUID,PTUUID,PARTTYPE,PARTUUID,FSTYPE", device];
  const { stdout } = await system.run(argv, { signal });
  try {
    const document: unknown = JSON.parse(stdout);
    const rows: unknown = isJsonObject(document) ? document.blockdevices : null;
    if (Array.isArray(rows)) return rows.filter(isJsonObject);
  } catch (error) {
    throw new BlockDeviceError(`lsblk printed no JSON for ${device}: ${stdout.slice(0, 200)}`, {
      cause: error,
    });
  }
  throw new BlockDeviceError(`lsblk printed no list for ${device}: ${stdout.slice(0, 200)}`);
}
