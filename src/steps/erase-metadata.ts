// The step erase_devices_metadata: the quick half of cleaning. Every disk and partition loses what an old
// system would be recognised by; the data itself stays until something overwrites it. Nothing is written
// before every device was looked at. Source: hardware specification 8.7.

import { destroyMetadata, type FreeWait } from "../disk/destroy-metadata.ts";
import { BlockDeviceEraseError, errorText } from "../errors.ts";
import { BlockDeviceIoError } from "../system/block-device.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import { chooseDevices, type EraseContext, type ListDevices, requireErasable } from "./erase-guards.ts";
import type { Step } from "./step.ts";

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
      await eraseMetadata(context, await listDevices(context.node));
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
  const chosen = await chooseDevices(context, devices);
  await requireErasable(context, chosen, "erase the metadata of");
  const failures = await destroyAllMetadata(context, chosen);
  const named = [...failures].map(([device, error]) => `"${device}": ${error}`);
  if (named.length > 0)
    throw new BlockDeviceEraseError(`Failed to erase the metadata on the device(s): ${named.join("; ")}`);
}

/**
 * Tries all devices, which the guards have let pass.
 * @returns the text of the error by device, for those that failed
 * @throws BlockDeviceError if one stays in use
 */
export async function destroyAllMetadata(
  { system, config, signal, report }: EraseContext,
  devices: readonly string[],
): Promise<Map<string, string>> {
  const freeWait: FreeWait = {
    attempts: config.get("disk_partitioner.check_device_max_retries"),
    interval: config.get("disk_partitioner.check_device_interval"),
  };
  const failures = new Map<string, string>();
  for (const [done, device] of devices.entries()) {
    const phase = `erasing metadata of ${device}`;
    report({ phase, done, total: devices.length, unit: "devices", rate: null });
    try {
      await destroyMetadata(system, device, freeWait, signal);
      system.log.info(`erased the metadata of ${device}`);
    } catch (error) {
      signal.throwIfAborted();
      if (!isDeviceFailure(error)) throw error;
      system.log.error(`erasing the metadata of ${device}: ${errorText(error)}`);
      failures.set(device, errorText(error));
    }
  }
  return failures;
}

/** What is one device's trouble, and no reason to leave the others as they are. */
function isDeviceFailure(error: unknown): boolean {
  return (
    error instanceof ProgramFailedError ||
    error instanceof ProgramMissingError ||
    error instanceof BlockDeviceIoError
  );
}
