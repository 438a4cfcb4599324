// The step erase_devices_metadata: the quick half of cleaning. Every disk and partition loses what an old
// system would be recognised by; the data itself stays until something overwrites it. Nothing is written
// before every device was looked at. Source: hardware specification 8.7.

import type { Config } from "../config/config.ts";
import { destroyMetadata, type FreeWait } from "../disk/destroy-metadata.ts";
import { reasonToSpare } from "../disk/erasable.ts";
import { HostGuard } from "../disk/host-guard.ts";
import { findSpecialFileSystem } from "../disk/special-file-systems.ts";
import { BlockDeviceEraseError, errorText, ProtectedDeviceError } from "../errors.ts";
import { type JsonObject, member } from "../json.ts";
import { BlockDeviceIoError } from "../system/block-device.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { Step, StepContext } from "./step.ts";

/** Paths of all disks and their partitions. */
export type ListDevices = () => Promise<readonly string[]>;

/** What erasing needs of a step's context. */
export type EraseContext = Pick<StepContext, "system" | "config" | "node" | "signal" | "report">;

export function eraseMetadataStep(
  listDevices: ListDevices,
  description: { readonly priority: number; readonly abortable?: boolean },
): Step {
  return {
    step: "erase_devices_metadata",
    interface: "deploy",
    reboot_requested: false,
    ...description,
    run: async (context) => {
      await eraseMetadata(context, await listDevices());
      return null;
    },
  };
}

/**
 * Erases the metadata of the devices, partitions before their disks.
 * @throws HostDiskError, ProtectedDeviceError before anything is written; BlockDeviceEraseError naming every
 *   device that failed, after all were tried; BlockDeviceError if one stays in use
 */
export async function eraseMetadata(context: EraseContext, devices: readonly string[]): Promise<void> {
  const { system, config, node, signal, report } = context;
  const chosen = await chooseDevices(context, devices);
  const guard = new HostGuard(system, { allowHostDisks: config.get("allow_host_disks") });
  for (const device of chosen) await guard.assertMayDestroy(device, "erase the metadata of");
  if (guardsSpecialFileSystems(config, node)) {
    for (const device of chosen) {
      const content = await findSpecialFileSystem(system, device, signal);
      if (content !== null) throw new ProtectedDeviceError(device, content);
    }
  }
  const freeWait: FreeWait = {
    attempts: config.get("disk_partitioner.check_device_max_retries"),
    interval: config.get("disk_partitioner.check_device_interval"),
  };
  const failures: string[] = [];
  for (const [done, device] of chosen.entries()) {
    report({
      phase: `erasing metadata of ${device}`,
      done,
      total: chosen.length,
      unit: "devices",
      rate: null,
    });
    try {
      await destroyMetadata(system, device, freeWait, signal);
      system.log.info(`erased the metadata of ${device}`);
    } catch (error) {
      signal.throwIfAborted();
      if (!isDeviceFailure(error)) throw error;
      system.log.error(`erasing the metadata of ${device}: ${errorText(error)}`);
      failures.push(`"${device}": ${errorText(error)}`);
    }
  }
  if (failures.length > 0)
    throw new BlockDeviceEraseError(`Failed to erase the metadata on the device(s): ${failures.join("; ")}`);
}

/** In descending order of their names, by which partitions come before the disk they are on. */
async function chooseDevices(
  { system, signal }: EraseContext,
  devices: readonly string[],
): Promise<readonly string[]> {
  const chosen: string[] = [];
  for (const device of [...devices].sort().reverse()) {
    const reason = await reasonToSpare(system, device, signal);
    if (reason === null) chosen.push(device);
    else system.log.info(`the metadata of ${device} is not erased: it is ${reason}`);
  }
  return chosen;
}

/** As with the reference, the node's flag turns the guard off by being false. */
function guardsSpecialFileSystems(config: Config, node: JsonObject): boolean {
  const flag = member(member(node, "driver_internal_info"), "wipe_special_filesystems");
  return config.get("guard_special_filesystems") && flag !== false;
}

/** What is one device's trouble, and no reason to leave the others as they are. */
function isDeviceFailure(error: unknown): boolean {
  return (
    error instanceof ProgramFailedError ||
    error instanceof ProgramMissingError ||
    error instanceof BlockDeviceIoError
  );
}
