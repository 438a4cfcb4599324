// Which disk the operating system goes to: the operator's root device hints decide, else the smallest disk
// that is large enough. Disks in use by the running system are not candidates. Rules: hardware specification
// 3.1, 3.2.

import type { HostGuard } from "../disk/host-guard.ts";
import { DeviceNotFound } from "../errors.ts";
import { isJsonObject, type JsonObject, member } from "../json.ts";
import type { Logger } from "../system/log.ts";
import type { BlockDevice } from "./manager.ts";
import { findDevicesByHints, hintedValues, RootDeviceHintError } from "./root-device-hints.ts";

/** Bytes: 4 GiB, the least a disk must have to be chosen without hints. */
const MINIMUM_SIZE = 4 * 2 ** 30;

/** The node's hints: those of the instance before those of the node; null if there are none. */
export function rootDeviceHints(node: JsonObject | null): JsonObject | null {
  for (const place of ["instance_info", "properties"]) {
    const hints = member(member(node, place), "root_device");
    if (isJsonObject(hints) && Object.keys(hints).length > 0) return hints;
  }
  return null;
}

/** The disks that may be offered at all, and why the others may not (device path → reason). */
export async function offeredDisks(
  guard: HostGuard,
  disks: readonly BlockDevice[],
  log: Logger,
): Promise<{ offered: BlockDevice[]; withheld: Map<string, string> }> {
  const inUse = await guard.protectedDisks();
  const withheld = new Map<string, string>();
  const offered = disks.filter(({ name }) => {
    const reason = inUse.get(name);
    if (reason !== undefined) withheld.set(name, reason);
    return reason === undefined;
  });
  for (const [name, reason] of withheld) log.debug(`${name} is not offered as root device: ${reason}`);
  return { offered, withheld };
}

/**
 * The path of the disk to install to.
 * @throws DeviceNotFound if the hints are wrong, match nothing, or no disk is large enough.
 */
export function chooseInstallDevice(
  { offered, withheld }: { offered: readonly BlockDevice[]; withheld: ReadonlyMap<string, string> },
  hints: JsonObject | null,
): string {
  const chosen = hints === null ? guessRootDisk(offered) : firstMatching(offered, hints);
  if (chosen !== undefined) return chosen.name;
  const wanted =
    hints === null
      ? `: without root device hints a disk of at least ${MINIMUM_SIZE} bytes is needed`
      : ` using these hints ${JSON.stringify(hints)}`;
  throw new DeviceNotFound(
    `No suitable device was found for deployment${wanted}. ${describeDisks(offered, withheld, hints ?? {})}`,
  );
}

/** The disk that a machine without root device hints is installed to: the smallest that is large enough. */
export function guessRootDisk<D extends { readonly name: string; readonly size: number }>(
  disks: readonly D[],
): D | undefined {
  return disks
    .filter(({ size }) => size >= MINIMUM_SIZE)
    .sort((left, right) => left.size - right.size || (left.name < right.name ? -1 : 1))[0];
}

function firstMatching(disks: readonly BlockDevice[], hints: JsonObject): BlockDevice | undefined {
  try {
    return findDevicesByHints(disks, hints)[0];
  } catch (error) {
    if (!(error instanceof RootDeviceHintError)) throw error;
    throw new DeviceNotFound(
      `No devices could be found using the root device hints ${JSON.stringify(hints)}: ${error.message}`,
      { cause: error },
    );
  }
}

function describeDisks(
  offered: readonly BlockDevice[],
  withheld: ReadonlyMap<string, string>,
  hints: JsonObject,
): string {
  const seen = offered.map((device) => {
    const facts = [`${device.size} bytes`, ...hintedValues(device, hints)];
    return `${device.name} (${facts.join(", ")})`;
  });
  const kept = [...withheld].map(([name, reason]) => `${name} (not offered: ${reason})`);
  return seen.length + kept.length === 0
    ? "The machine shows no disk: check the controller's driver and the cabling"
    : `Disks seen: ${[...seen, ...kept].join(", ")}`;
}
