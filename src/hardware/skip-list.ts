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

/**
 * The devices without those to be left alone. Partitions go with their disk or array.
 * @throws DeviceNotFound if the list cannot be understood: then nobody knows what to spare
 */
export async function withoutSkipped(
  system: System,
  node: JsonObject | null,
  devices: readonly BlockDevice[],
  options: { readonly emptiedArraysToo: boolean },
): Promise<BlockDevice[]> {
  const skipped = new Set<string>();
  for (const hints of skippedDisks(node)) {
    const matching = matchingDevices(devices, hints);
    for (const { name } of matching) skipped.add(name);
    if (matching.length > 0)
      system.log.warning(
        `${matching.map(({ name }) => name).join(", ")} is left alone: skip_block_devices has ${JSON.stringify(hints)}`,
      );
  }
  for (const { device, decision } of await sparedArrays(system, node))
    if (decision.fate === "keep" || (options.emptiedArraysToo && decision.fate === "wipe"))
      skipped.add(device);
  if (skipped.size === 0) return [...devices];
  const left: BlockDevice[] = [];
  for (const device of devices) {
    const disk = await diskOfPartition(system, device.name.slice("/dev/".length).replaceAll("/", "!"));
    if (!skipped.has(device.name) && !(disk !== null && skipped.has(devicePath(disk)))) left.push(device);
  }
  return left;
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

async function sparedArrays(system: System, node: JsonObject | null): Promise<DecidedArray[]> {
  const names = node === null ? [] : skippedVolumes(node);
  if (names.length === 0) return [];
  const arrays = [];
  for (const device of await listArrays(system)) arrays.push(await readArray(system, device, NEVER));
  return decideFates(arrays, names);
}
