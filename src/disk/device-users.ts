// Who keeps a disk from being written: the kernel only says EBUSY, and whoever stands before it at night needs a name to go on with.
// Native, because fuser is not in every ramdisk and sees no other mount namespace. Source: deploy specification 2.6.1.

import { BlockDeviceIoError } from "../system/block-device.ts";
import { FileError } from "../system/files.ts";
import type { System } from "../system/system.ts";
import { devicePath, holdersOf, kernelName, partitionsOf } from "./block-tree.ts";
import { parseMountInfo, parseSwaps } from "./mount-table.ts";

/** As many as fit into an error; a container's processes share what they have mounted. */
const MAX_USERS = 8;

/**
 * The kernel gives a device in use to nobody else; wipefs, which is told to force, would not notice.
 * @throws Error that names the users; BlockDeviceIoError if it cannot be opened for another reason
 */
export async function requireFree(system: System, disk: string): Promise<void> {
  try {
    await using _free = await system.blockDevices.open(disk, "write-exclusive");
  } catch (error) {
    if (!(error instanceof BlockDeviceIoError) || error.code !== "EBUSY") throw error;
    throw new Error(`${error.message}: it is in use: ${await describeUsers(system, disk)}`, { cause: error });
  }
}

/**
 * What uses `disk` or one of its partitions, as the end of a sentence: `/dev/md127 is built on /dev/sda1; process 812 (qemu) has
 * /dev/sda open`. Never fails; says so if nothing is found.
 */
async function describeUsers(system: System, disk: string): Promise<string> {
  const name = await kernelName(system, disk);
  const names = name === null ? [] : [name, ...(await partitionsOf(system, name)).map((part) => part.name)];
  const devices = new Set([disk, ...names.map(devicePath)]);
  const users: string[] = [];
  for (const part of names)
    for (const holder of await holdersOf(system, part))
      users.push(`${devicePath(holder)} is built on ${devicePath(part)}`);
  const swaps = parseSwaps(await textOf(system, "/proc/swaps")).filter((path) => devices.has(path));
  users.push(...swaps.map((path) => `${path} is swap space in use`));
  users.push(...(await usingProcesses(system, devices)));
  if (users.length === 0) return "who uses it cannot be seen from here";
  const left = users.length - MAX_USERS;
  return [...users.slice(0, MAX_USERS), ...(left > 0 ? [`${left} more`] : [])].join("; ");
}

/** By their open files, and by what is mounted where they live: other mount namespaces are seen by no other way. */
async function usingProcesses(system: System, devices: ReadonlySet<string>): Promise<string[]> {
  const users: string[] = [];
  const namespaces = new Set<string>();
  for (const id of await namesIn(system, "/proc")) {
    if (!/^\d+$/.test(id)) continue;
    const found: string[] = [];
    const open = new Set<string>();
    for (const number of await namesIn(system, `/proc/${id}/fd`)) {
      const path = await system.files.readLink(`/proc/${id}/fd/${number}`);
      if (path !== null && devices.has(path)) open.add(path);
    }
    if (open.size > 0) found.push(`has ${[...open].join(", ")} open`);
    const namespace = await system.files.readLink(`/proc/${id}/ns/mnt`);
    if (namespace !== null && !namespaces.has(namespace)) {
      namespaces.add(namespace);
      for (const { source, mountPoint } of parseMountInfo(await textOf(system, `/proc/${id}/mountinfo`)))
        if (devices.has(source)) found.push(`has ${source} mounted on ${mountPoint}`);
    }
    if (found.length === 0) continue;
    const command = (await system.files.readAttribute(`/proc/${id}/comm`)) ?? "unknown";
    users.push(`process ${id} (${command}) ${found.join(" and ")}`);
  }
  return users;
}

/** None of a process that has ended meanwhile, or that must not be looked at. */
async function namesIn({ files }: System, directory: string): Promise<string[]> {
  try {
    return await files.list(directory);
  } catch (error) {
    if (error instanceof FileError) return [];
    throw error;
  }
}

async function textOf({ files }: System, path: string): Promise<string> {
  try {
    return await files.readText(path);
  } catch (error) {
    if (error instanceof FileError) return "";
    throw error;
  }
}
