// Arrays that an operator wants to keep through cleaning and a new RAID configuration: those named in the node's skip_block_devices, and
// those on a disk that it has.
// What shares a disk with one of them cannot be taken apart, because the disk's partition table has to stay; it is
// emptied instead and keeps its place. Source: hardware specification 9.6.

import type { RaidArray } from "../disk/md-arrays.ts";
import { SoftwareRAIDError } from "../errors.ts";
import { type JsonObject, member } from "../json.ts";
import type { LogicalDisk } from "./raid-configuration.ts";

/** The array that mirrors the EFI system partitions; it belongs to whatever stays. */
const ESP = "esp";

export type Decision =
  | { readonly fate: "delete" }
  | { readonly fate: "keep" }
  /** `cause` is the name of the array that shares a disk with it. */
  | { readonly fate: "wipe"; readonly cause: string };

export type DecidedArray = RaidArray & { readonly decision: Decision };

/** Names of the arrays to keep, as the operator gave them. */
export function skippedVolumes(node: JsonObject): string[] {
  const list = member(member(node, "properties"), "skip_block_devices");
  if (!Array.isArray(list)) return [];
  return list.map((entry) => member(entry, "volume_name")).filter((name) => typeof name === "string");
}

/** What is to become of each array. @param disks those on which nothing may be written */
export function decideFates(
  arrays: readonly RaidArray[],
  skipped: readonly string[],
  disks: ReadonlySet<string> = new Set(),
): DecidedArray[] {
  const kept = arrays.filter(
    ({ name, device, holders }) =>
      (name !== null && skipped.includes(name)) ||
      disks.has(device) ||
      holders.some((holder) => disks.has(holder)),
  );
  return arrays.map((array): DecidedArray => {
    if (kept.includes(array)) return { ...array, decision: { fate: "keep" } };
    const neighbour = kept.find(({ holders }) => holders.some((disk) => array.holders.includes(disk)));
    if (neighbour === undefined) return { ...array, decision: { fate: "delete" } };
    if (array.name === ESP) return { ...array, decision: { fate: "keep" } };
    return { ...array, decision: { fate: "wipe", cause: neighbour.name ?? "" } };
  });
}

/**
 * The logical disks that are still to be made beside the arrays that are there.
 * @throws SoftwareRAIDError if an array has no name, or one that is in the way
 */
export function withoutExisting(
  disks: readonly LogicalDisk[],
  arrays: readonly DecidedArray[],
  skipped: readonly string[],
): LogicalDisk[] {
  const existing = new Map<string, DecidedArray>();
  for (const array of arrays) {
    if (array.name === null)
      throw new SoftwareRAIDError(
        `${array.device} has no volume name, so it cannot be told whether it is one of the arrays to keep`,
      );
    existing.set(array.name, array);
  }
  const wanted = new Set(disks.map(({ volumeName }) => volumeName));
  for (const [name, { device, decision }] of existing) {
    if (wanted.has(name) || skipped.includes(name) || (name === ESP && decision.fate === "keep")) continue;
    throw new SoftwareRAIDError(
      `${device} (${name}) exists and is neither to be kept nor part of the configuration`,
    );
  }
  return disks.filter(({ volumeName }) => {
    const array = existing.get(volumeName ?? "");
    if (array === undefined) return true;
    if (skipped.includes(volumeName ?? "") || array.decision.fate === "wipe") return false;
    throw new SoftwareRAIDError(
      `An array named ${volumeName} exists already (${array.device}), and it is not one of those to keep`,
    );
  });
}
