// How block devices stand on each other, read from sysfs: disk and partitions, what a device is built from (slaves), what
// is built on it (holders). Names are the kernel's ("sda1"); numbers and names are never glued together, because the
// kernel is the only one who knows that partition 1 of nvme0n1 is nvme0n1p1 and of a multipath map something else.

import { FileError } from "../system/files.ts";
import type { System } from "../system/system.ts";

const CLASS = "/sys/class/block";

/** A partition as the kernel knows it. */
export type KernelPartition = { readonly number: number; readonly name: string };

/** The kernel's name of a device node, links followed; null if `path` is no block device. */
export async function kernelName(system: System, path: string): Promise<string | null> {
  try {
    const number = await system.files.deviceNumber(path);
    if (number === null) return null;
    return baseName(await system.files.realPath(`/sys/dev/block/${number.major}:${number.minor}`));
  } catch (error) {
    // Not there, or a character device, which has no entry below /sys/dev/block.
    if (error instanceof FileError) return null;
    throw error;
  }
}

/** The device node of a kernel name: sysfs writes `!` where the node has `/` (cciss!c0d0). */
export function devicePath(name: string): string {
  return `/dev/${name.replaceAll("!", "/")}`;
}

/** The disk a partition is on; null if `name` is no partition, or has just disappeared. */
export async function diskOfPartition(system: System, name: string): Promise<string | null> {
  if ((await system.files.readAttribute(`${CLASS}/${name}/partition`)) === null) return null;
  try {
    const directory = await system.files.realPath(`${CLASS}/${name}`);
    return baseName(directory.slice(0, directory.lastIndexOf("/")));
  } catch (error) {
    if (error instanceof FileError && error.code === "ENOENT") return null;
    throw error;
  }
}

/** Partitions of a disk, by number. */
export async function partitionsOf(system: System, disk: string): Promise<KernelPartition[]> {
  const partitions: KernelPartition[] = [];
  for (const name of await system.files.list(`${CLASS}/${disk}`)) {
    const number = await system.files.readAttribute(`${CLASS}/${disk}/${name}/partition`);
    if (number !== null) partitions.push({ number: Number(number), name });
  }
  return partitions.sort((a, b) => a.number - b.number);
}

/** What a device-mapper or md device is made of. */
export function slavesOf(system: System, name: string): Promise<string[]> {
  return system.files.list(`${CLASS}/${name}/slaves`);
}

/** What is built directly on a device: md arrays, device-mapper maps, bcache. */
export function holdersOf(system: System, name: string): Promise<string[]> {
  return system.files.list(`${CLASS}/${name}/holders`);
}

/** The file under a loop device; null if it is none or has none. */
export function loopBackingFile(system: System, name: string): Promise<string | null> {
  return system.files.readAttribute(`${CLASS}/${name}/loop/backing_file`);
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
