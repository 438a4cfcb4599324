// Erases one disk in the way that suits it best: by its own firmware if it can, else by overwriting; and then looks whether it is
// erased. What was done is returned as a record for people who have to prove it. Source: hardware specification 8.2.

import { ataSecureErase } from "../disk/ata-security.ts";
import { describeDiskFault, isDiskFault } from "../disk/disk-fault.ts";
import { reasonToSpare, type SpareReason } from "../disk/erasable.ts";
import { formatErasure, formatNvme, identifyController, siblingNamespaces } from "../disk/nvme-format.ts";
import { sanitizeAction, sanitizeNvme } from "../disk/nvme-sanitize.ts";
import { compareSamples, type ReadBack, type Sample, takeSamples } from "../disk/read-back.ts";
import { settleUdev } from "../disk/rescan.ts";
import { shred } from "../disk/shred.ts";
import {
  BlockDeviceEraseError,
  BlockDeviceError,
  errorText,
  IncompatibleHardwareMethodError,
} from "../errors.ts";
import type { Json, JsonObject } from "../json.ts";
import { BlockDeviceIoError } from "../system/block-device.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import { type EraseContext, eraseSetting, requireErasable } from "./erase-guards.ts";

export type ErasableDisk = {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly model: string | null;
  readonly serial: string | null;
};

export type EraseDeviceContext = EraseContext & {
  /**
   * Why a device must keep its data although it is not the one to be erased: asked when firmware would erase it along with
   * that one. Null if it may go.
   */
  readonly mustKeep: (device: string) => Promise<string | null>;
};

/** How a disk was erased; the names are the wire's. */
type Erasure = { readonly method: string; readonly output: string; readonly blankExpected: boolean };

/**
 * Erases the disk.
 * @returns the record: what was done to which disk, how, and what was found afterwards
 * @throws BlockDeviceEraseError if it must not or could not be erased, IncompatibleHardwareMethodError if nothing known
 *   erases it, HostDiskError, ProtectedDeviceError
 */
export async function eraseDevice(context: EraseDeviceContext, disk: ErasableDisk): Promise<JsonObject> {
  const { system, node, signal } = context;
  const spared = await reasonToSpare(system, disk.name, signal);
  if (spared !== null) return spare(context, disk, spared);
  await requireErasable(context, [disk.name], "erase");
  const started = system.clock.monotonic();
  const startedAt = new Date(system.clock.now() * 1000).toISOString();
  const samples = await samplesOf(context, disk.name);
  const tried: string[] = [];
  const erasure =
    (await eraseByFirmware(context, disk.name, tried)) ?? (await overwrite(context, disk.name, tried));
  await settleUdev(system, signal);
  const verification = await verify(context, disk.name, samples, erasure);
  const record: JsonObject = {
    ...identity(disk),
    method: erasure.method,
    started_at: startedAt,
    seconds: Math.round(system.clock.monotonic() - started),
    output: erasure.output,
    ...(tried.length > 0 ? { tried_before: tried } : {}),
    verification,
  };
  system.log.info(`erased ${disk.name} of node ${String(node.uuid ?? "(unknown)")}`, record);
  return record;
}

function identity({ serial, model, size }: ErasableDisk): JsonObject {
  return { serial, model, size };
}

function spare({ system, node }: EraseContext, disk: ErasableDisk, reason: SpareReason): JsonObject {
  if (reason === "read-only" && eraseSetting(node, "agent_erase_skip_read_only") !== true)
    throw new BlockDeviceEraseError(
      `${disk.name} is read-only and cannot be erased. Take the write protection off, or set ` +
        "[deploy]erase_skip_read_only in Ironic to leave such devices as they are.",
    );
  system.log.info(`${disk.name} is not erased: it is ${reason}`);
  return { ...identity(disk), method: "none", reason };
}

/** Null: the disk has no such way, or it failed and the node's settings let another be tried. `tried` gets what failed. */
async function eraseByFirmware(
  context: EraseDeviceContext,
  device: string,
  tried: string[],
): Promise<Erasure | null> {
  const { node, system, signal } = context;
  try {
    if (device.startsWith("/dev/nvme")) return await eraseNvme(context, device);
    if (eraseSetting(node, "agent_enable_ata_secure_erase") === false) return null;
    const erased = await ataSecureErase(system, device, context);
    if (erased === null) return null;
    const method = erased.enhanced ? "ata-secure-erase-enhanced" : "ata-secure-erase";
    return { method, output: erased.output, blankExpected: false };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof BlockDeviceEraseError)) throw error;
    if (mayOverwriteInstead(node)) {
      system.log.warning(`falling back to overwriting ${device}: ${error.details}`);
      tried.push(error.details);
      return null;
    }
    system.log.error(`erasing ${device}: ${error.details}`);
    throw new IncompatibleHardwareMethodError(
      `The secure erase of ${device} failed, and overwriting it instead is not enabled ` +
        `([deploy]continue_if_disk_secure_erase_fails in Ironic): ${error.details}`,
      { cause: error },
    );
  }
}

/** The newer switch, and the older one where that is not set. */
function mayOverwriteInstead(node: JsonObject): boolean {
  const newer = eraseSetting(node, "agent_continue_if_secure_erase_failed");
  return (newer ?? eraseSetting(node, "agent_continue_if_ata_erase_failed")) === true;
}

/** Has a namespace erased by its controller; null if the node does not want it. @throws BlockDeviceEraseError */
export async function eraseNvme(context: EraseDeviceContext, device: string): Promise<Erasure | null> {
  const { node, system, config, signal } = context;
  if (eraseSetting(node, "agent_enable_nvme_secure_erase") === false) return null;
  const controller = await identifyController(system, device, signal);
  const action = config.get("nvme_sanitize") ? sanitizeAction(controller) : null;
  if (action !== null) {
    await requireSiblingsMayGo(context, device);
    const output = await sanitizeNvme(system, device, action, context);
    return { method: `nvme-sanitize-${action}`, output, blankExpected: false };
  }
  const erasure = formatErasure(controller, device);
  if (erasure.allNamespaces) await requireSiblingsMayGo(context, device);
  const output = await formatNvme(system, device, erasure, context);
  return { method: `nvme-format-${erasure.mode}`, output, blankExpected: false };
}

/** @throws BlockDeviceEraseError */
async function requireSiblingsMayGo({ system, mustKeep }: EraseDeviceContext, device: string): Promise<void> {
  for (const sibling of await siblingNamespaces(system, device)) {
    const reason = await mustKeep(sibling);
    if (reason !== null)
      throw new BlockDeviceEraseError(
        `The controller of ${device} would erase all its namespaces with it, and ${sibling} must keep its data: ` +
          `it is ${reason}`,
      );
  }
}

async function overwrite(
  context: EraseDeviceContext,
  device: string,
  tried: readonly string[],
): Promise<Erasure> {
  const { node, system, signal, report } = context;
  const passes = eraseSetting(node, "agent_erase_devices_iterations");
  const iterations = typeof passes === "number" && Number.isInteger(passes) && passes >= 0 ? passes : 1;
  const zeroize = eraseSetting(node, "agent_erase_devices_zeroize") !== false;
  try {
    const output = await shred(system, device, { iterations, zeroize, signal, report });
    return { method: "shred", output, blankExpected: zeroize };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ProgramFailedError || error instanceof ProgramMissingError)) throw error;
    system.log.error(`erasing ${device}: ${errorText(error)}`);
    const before = tried.length === 0 ? "" : ` Before that: ${tried.join(" ")}`;
    const fault = isDiskFault(error) ? ` ${await describeDiskFault(system, device)}` : "";
    throw new IncompatibleHardwareMethodError(
      `Unsupported: ${device} could not be overwritten (${errorText(error)}), so data is left on it.${fault}${before}`,
      { cause: error },
    );
  }
}

/** Null when the disk cannot even be read; then the erase itself has to tell what is wrong with it. */
async function samplesOf({ system }: EraseContext, device: string): Promise<Sample[] | null> {
  try {
    return await takeSamples(system, device);
  } catch (error) {
    if (!(error instanceof BlockDeviceIoError)) throw error;
    system.log.warning(`what ${device} holds cannot be sampled: ${errorText(error)}`);
    return null;
  }
}

/**
 * What was found on the disk afterwards.
 * @throws BlockDeviceEraseError if it still holds what it held, or not the zeros that were written last
 */
async function verify(
  { system, signal }: EraseContext,
  device: string,
  samples: readonly Sample[] | null,
  { method, blankExpected, output }: Erasure,
): Promise<Json> {
  if (samples === null) return { checked: false, reason: "the disk could not be read before the erase" };
  const found = await readBack(system, device, samples, signal);
  if (typeof found === "string") return { checked: false, reason: found };
  const wrong = blankExpected ? found.places - found.blank - found.unreadable : found.unchanged;
  if (wrong > 0)
    throw new BlockDeviceEraseError(
      `${device} is not erased although ${method} ended without an error: ${wrong} of ${found.places} places that were ` +
        `read back ${blankExpected ? "are not blank" : "hold what they held before"}. The tool's last words: ${output}. ` +
        "Do not hand this disk to anybody else.",
    );
  if (found.unreadable > 0)
    system.log.warning(`${found.unreadable} of ${found.places} places of ${device} cannot be read back`);
  // Nothing that was read says that anything is gone.
  return { checked: found.unreadable < found.places, ...found };
}

/** A text: why the check was not possible. */
async function readBack(
  system: EraseContext["system"],
  device: string,
  samples: readonly Sample[],
  signal: AbortSignal,
): Promise<ReadBack | string> {
  try {
    return await compareSamples(system, device, samples, signal);
  } catch (error) {
    if (!(error instanceof BlockDeviceError || error instanceof BlockDeviceIoError)) throw error;
    system.log.warning(`the erase of ${device} cannot be checked: ${errorText(error)}`);
    return errorText(error);
  }
}
