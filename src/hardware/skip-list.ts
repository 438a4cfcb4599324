// Disks and arrays that an operator wants to be left alone: properties.skip_block_devices of the node. They stay in the inventory,
// but nothing is installed on them and no step erases them. Source: hardware specification 3.4, 9.6.

import { devicePath, diskOfPartition } from "../disk/block-tree.ts";
import { listArrays, readArray } from "../disk/md-arrays.ts";
import { DeviceNotFound } from "../errors.ts";
import { isJsonObject, type JsonObject, member } from "../json.ts";
import { type DecidedArray, decideFates, skippedVolumes } from "../steps/raid-skip-list.ts";
import type { System } from "../system/system.ts";
import type { BlockDevice } from "./manager.ts";
import { findDevicesByHints, RootDeviceHintError } from "./root-device-hints.ts";

/** Cannot be aborted: it only reads. */
const NEVER = new AbortController().signal;

export type LeftAlone = {
  /** Arrays that a kept one shares its disks with: their content was taken, and their place is the kept one's. */
  readonly emptiedArraysToo: boolean;
  /** The disks under the arrays that are to be kept: what is written to one is the end of its array. */
  readonly disksUnderArraysToo?: boolean;
};

/**
 * The devices without those to be left alone. Partitions go with their disk or array, and arrays with any of their disks.
 * @throws DeviceNotFound if the list cannot be understood: then nobody knows what to spare
 */
export async function withoutSkipped(
  system: System,
  node: JsonObject | null,
  devices: readonly BlockDevice[],
  { emptiedArraysToo, disksUnderArraysToo }: LeftAlone,
): Promise<BlockDevice[]> {
  const hinted = disksByHints(system, node, devices);
  const skipped = new Set(hinted);
  for (const { device, decision, holders } of await sparedArrays(system, node, hinted)) {
    if (decision.fate === "keep" || (emptiedArraysToo && decision.fate === "wipe")) skipped.add(device);
    if (decision.fate === "keep" && disksUnderArraysToo === true)
      for (const disk of holders) skipped.add(disk);
  }
  const left: BlockDevice[] = [];
  for (const device of devices) if (!(await isOn(system, device.name, skipped))) left.push(device);
  return left;
}

/**
 * Names of the devices that the hints of the list mean, with their partitions: whatever is on them, nothing is written there.
 * @throws DeviceNotFound as withoutSkipped
 */
export async function skippedByHints(
  system: System,
  node: JsonObject | null,
  devices: readonly BlockDevice[],
): Promise<Set<string>> {
  const hinted = disksByHints(system, node, devices);
  const found = new Set<string>();
  for (const { name } of devices) if (await isOn(system, name, hinted)) found.add(name);
  return found;
}

function disksByHints(
  system: System,
  node: JsonObject | null,
  devices: readonly BlockDevice[],
): ReadonlySet<string> {
  const skipped = new Set<string>();
  for (const hints of skippedDisks(node)) {
    const matching = matchingDevices(devices, hints);
    for (const { name } of matching) skipped.add(name);
    if (matching.length > 0)
      system.log.warning(
        `${matching.map(({ name }) => name).join(", ")} is left alone: skip_block_devices has ${JSON.stringify(hints)}`,
      );
  }
  return skipped;
}

async function isOn(system: System, device: string, disks: ReadonlySet<string>): Promise<boolean> {
  if (disks.size === 0 || disks.has(device)) return disks.has(device);
  const disk = await diskOfPartition(system, device.slice("/dev/".length).replaceAll("/", "!"));
  return disk !== null && disks.has(devicePath(disk));
}

function skippedDisks(node: JsonObject | null): JsonObject[] {
  const list = member(member(node, "properties"), "skip_block_devices");
  if (list === null) return [];
  if (!Array.isArray(list) || !list.every(isJsonObject))
    throw new DeviceNotFound(`skip_block_devices must be a list of objects, not ${JSON.stringify(list)}`);
  return list.filter((entry) => !Object.hasOwn(entry, "volume_name"));
}

function matchingDevices(devices: readonly BlockDevice[], hints: JsonObject): BlockDevice[] {
  try {
    return Object.keys(hints).length === 0 ? [] : findDevicesByHints(devices, hints);
  } catch (error) {
    if (!(error instanceof RootDeviceHintError)) throw error;
    throw new DeviceNotFound(
      `skip_block_devices has ${JSON.stringify(hints)}, which cannot be understood: ${error.message}`,
      { cause: error },
    );
  }
}

async function sparedArrays(
  system: System,
  node: JsonObject | null,
  disks: ReadonlySet<string>,
): Promise<DecidedArray[]> {
  const names = node === null ? [] : skippedVolumes(node);
  if (names.length === 0 && disks.size === 0) return [];
  const arrays = [];
  for (const device of await listArrays(system)) arrays.push(await readArray(system, device, NEVER));
  return decideFates(arrays, names, disks);
}
