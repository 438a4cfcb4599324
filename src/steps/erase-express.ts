// The step erase_devices_express: NVMe disks are erased by their controllers, which takes seconds, and all others lose their
// metadata. The compromise between erase_devices, which takes hours on spinning disks, and erase_devices_metadata, which
// leaves all data where it is. Source: hardware specification 8.9.

import { diskOfPartition } from "../disk/block-tree.ts";
import { isNvmeNamespace } from "../disk/nvme-format.ts";
import { BlockDeviceEraseError } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { type EraseDeviceContext, eraseNvme } from "./erase-device.ts";
import { chooseDevices, type EraseContext, type ListDevices, requireErasable } from "./erase-guards.ts";
import { destroyAllMetadata } from "./erase-metadata.ts";
import type { Step } from "./step.ts";

export function eraseExpressStep(
  listDevices: ListDevices,
  mustKeep: (node: JsonObject, device: string) => Promise<string | null>,
): Step {
  return {
    step: "erase_devices_express",
    priority: 0,
    interface: "deploy",
    reboot_requested: false,
    abortable: true,
    run: async (context) => {
      const devices = await listDevices(context.node);
      const keep = (device: string) => mustKeep(context.node, device);
      return devices.length === 0 ? null : await eraseExpress({ ...context, mustKeep: keep }, devices);
    },
  };
}

/**
 * @returns by device, how it was erased
 * @throws HostDiskError, ProtectedDeviceError before anything is written; BlockDeviceEraseError naming every device that
 *   could be erased neither way, after all were tried
 */
export async function eraseExpress(
  context: EraseDeviceContext,
  devices: readonly string[],
): Promise<JsonObject> {
  const chosen = await chooseDevices(context, devices);
  await requireErasable(context, chosen, "erase");
  const { erased, failures } = await eraseNamespaces(context, chosen);
  const left: string[] = [];
  for (const device of chosen) if (!(await isErased(context, device, erased))) left.push(device);
  const metadataFailures = await destroyAllMetadata(context, left);
  const named = [...metadataFailures].map(([device, error]) => {
    const secureErase = failures.get(device);
    return `"${device}": ${error}${secureErase === undefined ? "" : ` (and before that: ${secureErase})`}`;
  });
  if (named.length > 0)
    throw new BlockDeviceEraseError(
      `Failed to conduct an express erase on the device(s): ${named.join("\n")}`,
    );
  const record: JsonObject = {};
  for (const device of chosen) {
    const failure = failures.get(device);
    record[device] = {
      method: left.includes(device) ? "metadata" : (erased.get(device) ?? "with its disk"),
      ...(failure === undefined ? {} : { tried_before: [failure] }),
    };
  }
  return record;
}

/** Before anything else, because a formatted namespace has no partitions whose metadata could be wiped. */
async function eraseNamespaces(context: EraseDeviceContext, devices: readonly string[]) {
  const { system, signal } = context;
  const erased = new Map<string, string>();
  const failures = new Map<string, string>();
  for (const device of devices.filter(isNvmeNamespace)) {
    try {
      const erasure = await eraseNvme(context, device);
      if (erasure !== null) erased.set(device, erasure.method);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BlockDeviceEraseError)) throw error;
      system.log.warning(`only the metadata of ${device} will be erased: ${error.details}`);
      failures.set(device, error.details);
    }
  }
  return { erased, failures };
}

async function isErased(
  { system }: EraseContext,
  device: string,
  erased: ReadonlyMap<string, string>,
): Promise<boolean> {
  if (erased.has(device)) return true;
  const disk = await diskOfPartition(system, device.slice("/dev/".length));
  return disk !== null && erased.has(`/dev/${disk}`);
}
