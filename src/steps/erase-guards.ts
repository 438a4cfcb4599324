// What all erasing steps ask before they write the first byte: which devices are to be left alone, which must not be touched, and
// whether one holds a file system that other machines share. Source: hardware specification 2.8, 8.4, 8.7.

import type { Config } from "../config/config.ts";
import { reasonToSpare } from "../disk/erasable.ts";
import { HostGuard } from "../disk/host-guard.ts";
import { findSpecialFileSystem } from "../disk/special-file-systems.ts";
import { ProtectedDeviceError } from "../errors.ts";
import { type Json, type JsonObject, member } from "../json.ts";
import type { StepContext } from "./step.ts";

/** What erasing needs of a step's context. */
export type EraseContext = Pick<StepContext, "system" | "config" | "node" | "signal" | "report">;

/** Paths of the devices a step may erase on a machine that works for `node`. */
export type ListDevices = (node: JsonObject) => Promise<readonly string[]>;

/**
 * The devices to erase, in descending order of their names, by which partitions come before the disk they are on. `done`: what the
 * log says does not happen to the others.
 */
export async function chooseDevices(
  { system, signal }: Pick<EraseContext, "system" | "signal">,
  devices: readonly string[],
  done = "erased",
): Promise<string[]> {
  const chosen: string[] = [];
  for (const device of [...devices].sort().reverse()) {
    const reason = await reasonToSpare(system, device, signal);
    if (reason === null) chosen.push(device);
    else system.log.info(`${device} is not ${done}: it is ${reason}`);
  }
  return chosen;
}

/**
 * Asks for all devices before the first is written to.
 * @throws HostDiskError, ProtectedDeviceError
 */
export async function requireErasable(
  { system, config, node, signal }: Omit<EraseContext, "report">,
  devices: readonly string[],
  action: string,
): Promise<void> {
  const guard = new HostGuard(system, { allowHostDisks: config.get("allow_host_disks") });
  for (const device of devices) await guard.assertMayDestroy(device, action);
  if (!guardsSpecialFileSystems(config, node)) return;
  for (const device of devices) {
    const content = await findSpecialFileSystem(system, device, signal);
    if (content !== null) throw new ProtectedDeviceError(device, content);
  }
}

/** As with the reference, the node's flag turns the guard off by being false. */
function guardsSpecialFileSystems(config: Config, node: JsonObject): boolean {
  return config.get("guard_special_filesystems") && eraseSetting(node, "wipe_special_filesystems") !== false;
}

/** What the conductor set for this node's erasing. */
export function eraseSetting(node: JsonObject, name: string): Json {
  return member(member(node, "driver_internal_info"), name);
}
