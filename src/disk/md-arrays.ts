// Software RAID arrays as the kernel has them: which there are, on which disks they stand. From sysfs, which also knows the
// arrays that never started and have no size. Source: hardware specification 9.4.

import type { System } from "../system/system.ts";
import { devicePath, diskOfPartition, kernelName, slavesOf } from "./block-tree.ts";
import { parseArrayUuid, parseComponents, parseVolumeName } from "./md-report.ts";
import { arrayReport } from "./mdadm.ts";

const CLASS = "/sys/class/block";

export type RaidArray = {
  /** Path of the device node. */
  readonly device: string;
  readonly uuid: string | null;
  readonly name: string | null;
  /** Paths of the components it has now. */
  readonly components: readonly string[];
  /** Paths of the disks these are on, or are; each once, in their order. */
  readonly holders: readonly string[];
};

/** Device nodes of all arrays, running or not; not their partitions. */
export async function listArrays(system: System): Promise<string[]> {
  const arrays: string[] = [];
  for (const name of await system.files.list(CLASS)) {
    if (!name.startsWith("md")) continue;
    const state = await system.files.readAttribute(`${CLASS}/${name}/md/array_state`);
    // "clear" is what stays for a moment of an array that was stopped.
    if (state !== null && state !== "clear") arrays.push(devicePath(name));
  }
  // md2 before md10.
  return arrays.sort((left, right) => left.length - right.length || (left < right ? -1 : 1));
}

/** True for the device node of a software RAID, running or not. */
export async function isArray(system: System, device: string): Promise<boolean> {
  const name = await kernelName(system, device);
  return name !== null && (await system.files.readAttribute(`${CLASS}/${name}/md/array_state`)) !== null;
}

/** What mdadm and the kernel know of an array. */
export async function readArray(system: System, device: string, signal: AbortSignal): Promise<RaidArray> {
  const report = (await arrayReport(system, device, signal)) ?? "";
  const components = parseComponents(report);
  for (const slave of await slavesOf(system, (await kernelName(system, device)) ?? "")) {
    if (!components.includes(devicePath(slave))) components.push(devicePath(slave));
  }
  const holders: string[] = [];
  for (const component of components) {
    const holder = await holderOf(system, component);
    if (holder !== null && !holders.includes(holder)) holders.push(holder);
  }
  return { device, uuid: parseArrayUuid(report), name: parseVolumeName(report), components, holders };
}

/**
 * Says so in the log when an array lacks members. No error: it works, and the operator may want the machine up before the new disk
 * is there; but what is made bootable is only the disks that are left.
 */
export async function warnIfDegraded(system: System, { device, holders }: RaidArray): Promise<void> {
  const name = await kernelName(system, device);
  // RAID 0 has no such attribute.
  const missing = Number((await system.files.readAttribute(`${CLASS}/${name}/md/degraded`)) ?? 0);
  if (missing === 0) return;
  system.log.warning(
    `${device} is degraded: ${missing} of its members ${missing === 1 ? "is" : "are"} missing, and only ${holders.join(", ")} ` +
      "will boot. After the disk is replaced, delete the RAID configuration, create it again and deploy; or add the new disk to " +
      "the arrays by hand and deploy again.",
  );
}

/** The disk a component is on; a whole disk is its own. Null if it was pulled out. */
async function holderOf(system: System, component: string): Promise<string | null> {
  const name = await kernelName(system, component);
  return name === null ? null : devicePath((await diskOfPartition(system, name)) ?? name);
}
