// The /dev that programs of an image get to see: the disk they are to work on with all that belongs to it, the harmless nodes every
// program expects, and nothing else: no other disk, no memory, no BMC, no watchdog. Links to what is shown are shown, because
// grub-mkconfig asks for /dev/disk/by-uuid. Source: deploy specification 5.9.

import type { System } from "../system/system.ts";
import { diskOfPartition, holdersOf, kernelName, partitionsOf, slavesOf } from "./block-tree.ts";
import { type Mounted, unmount } from "./mounts.ts";

const HARMLESS = ["null", "zero", "full", "random", "urandom"];
const STANDARD_LINKS: readonly [string, string][] = [
  ["fd", "/proc/self/fd"],
  ["stdin", "/proc/self/fd/0"],
  ["stdout", "/proc/self/fd/1"],
  ["stderr", "/proc/self/fd/2"],
];
/** GRUB asks it what a logical volume is made of. */
const DEVICE_MAPPER = "mapper/control";
/** /dev/disk/by-uuid is two levels down; nothing that is looked for is deeper. */
const DEPTH = 2;

/**
 * Mounts it on the directory `at`, read-only.
 * @param devices paths of what the programs work on; partitions, members and what is built on them come along
 * @throws ProgramFailedError, FileError
 */
export async function mountConfinedDev(
  system: System,
  at: string,
  devices: readonly string[],
  signal: AbortSignal,
): Promise<Mounted> {
  await system.run(["mount", "-t", "tmpfs", "-o", "mode=0755,nosuid,noexec,size=1m", "tmpfs", at], {
    signal,
  });
  const mounted = { path: at, [Symbol.asyncDispose]: () => unmount(system, "tmpfs", at) };
  try {
    const shown = await familyOf(system, devices);
    for (const name of HARMLESS) await showNode(system, at, name);
    if ([...shown].some((name) => name.startsWith("dm-"))) await showNode(system, at, DEVICE_MAPPER);
    for (const [name, target] of STANDARD_LINKS) await system.files.link(`${at}/${name}`, target);
    await showBelow(system, at, "", shown, DEPTH);
    await system.run(["mount", "-o", "remount,ro", at], { signal });
    return mounted;
  } catch (error) {
    await mounted[Symbol.asyncDispose]();
    throw error;
  }
}

/** Kernel names of the devices and of everything they are made of, or that is made of them. */
export async function familyOf(system: System, devices: readonly string[]): Promise<Set<string>> {
  const family = new Set<string>();
  const waiting: string[] = [];
  for (const device of devices) {
    const name = await kernelName(system, device);
    if (name !== null) waiting.push(name);
  }
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (family.has(name)) continue;
    family.add(name);
    const disk = await diskOfPartition(system, name);
    if (disk !== null) waiting.push(disk);
    waiting.push(...(await partitionsOf(system, name)).map((partition) => partition.name));
    waiting.push(...(await slavesOf(system, name)), ...(await holdersOf(system, name)));
  }
  return family;
}

/** Nodes and links of /dev that lead to the family; directories only as they are needed. */
async function showBelow(
  system: System,
  at: string,
  directory: string,
  family: ReadonlySet<string>,
  depth: number,
): Promise<void> {
  const { files } = system;
  for (const entry of await files.list(`/dev/${directory}`)) {
    const name = `${directory}${entry}`;
    const kind = await files.kind(`/dev/${name}`);
    if (kind === "directory") {
      if (depth > 0) await showBelow(system, at, `${name}/`, family, depth - 1);
      continue;
    }
    if (kind !== "block" && kind !== "link") continue;
    const device = await kernelName(system, `/dev/${name}`);
    if (device === null || !family.has(device)) continue;
    const target = await files.readLink(`/dev/${name}`);
    if (target === null) await showNode(system, at, name);
    else {
      await files.makeDirectory(parentOf(`${at}/${name}`));
      await files.link(`${at}/${name}`, target);
    }
  }
}

/** The node /dev/NAME, if there is one. */
async function showNode(system: System, at: string, name: string): Promise<void> {
  const number = await system.files.deviceNumber(`/dev/${name}`);
  if (number === null) return;
  const type = (await system.files.targetKind(`/dev/${name}`)) === "block" ? "b" : "c";
  const mode = HARMLESS.includes(name) ? "0666" : "0600";
  await system.files.makeDirectory(parentOf(`${at}/${name}`));
  await system.run(["mknod", "-m", mode, `${at}/${name}`, type, String(number.major), String(number.minor)]);
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
