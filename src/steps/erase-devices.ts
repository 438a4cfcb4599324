// The step erase_devices: every disk loses all its data, several at a time if the node says so. How a disk is erased is decided by
// the hardware manager that feels responsible for it; this step looks at the guards of all disks before the first one is
// touched, keeps the order, and waits for all of them whatever happens to one. Source: hardware specification 8.1.

import { BlockDeviceEraseError, errorText, HardwareManagerMethodNotFound } from "../errors.ts";
import type { Json, JsonObject } from "../json.ts";
import type { ReportProgress } from "../progress.ts";
import type { ErasableDisk } from "./erase-device.ts";
import { chooseDevices, type EraseContext, eraseSetting, requireErasable } from "./erase-guards.ts";
import { EraseProgress } from "./erase-progress.ts";
import type { Step } from "./step.ts";

/** What the hardware layer does for this step. */
export type DiskEraser<D extends ErasableDisk> = {
  /** The disks that may be erased on a machine that works for `node`. */
  readonly list: (node: JsonObject) => Promise<readonly D[]>;
  /** Asks the managers to erase one; `explain` takes why one of them would not. */
  readonly erase: (node: JsonObject, disk: D, work: EraseWork) => Promise<Json>;
};

export type EraseWork = {
  readonly signal: AbortSignal;
  readonly report: ReportProgress;
  readonly explain: (reason: string) => void;
};

type Outcome = { readonly result: Json } | { readonly error: unknown; readonly reasons: readonly string[] };

export function eraseDevicesStep<D extends ErasableDisk>(eraser: DiskEraser<D>): Step {
  return {
    step: "erase_devices",
    priority: 10,
    interface: "deploy",
    reboot_requested: false,
    abortable: true,
    run: (context) => eraseDevices(context, eraser),
  };
}

/**
 * @returns what the managers returned, by device
 * @throws HostDiskError, ProtectedDeviceError before anything is written; what the first failed device in the list threw,
 *   after all have ended
 */
export async function eraseDevices<D extends ErasableDisk>(
  context: EraseContext,
  eraser: DiskEraser<D>,
): Promise<JsonObject> {
  const { system, node, signal, report } = context;
  const disks = await eraser.list(node);
  const names = disks.map(({ name }) => name);
  await requireErasable(context, await chooseDevices(context, names), "erase");
  const workers = Math.min(concurrency(node), disks.length);
  const progress = new EraseProgress(disks, { clock: system.clock, report, workers });
  const outcomes: Outcome[] = [];
  let next = 0;
  const work = async () => {
    for (let index = next++; index < disks.length; index = next++) {
      const disk = disks[index];
      if (disk === undefined) return;
      const reasons: string[] = [];
      const explain = (reason: string) => void reasons.push(reason);
      try {
        const result = await eraser.erase(node, disk, { signal, report: progress.begin(index), explain });
        outcomes[index] = { result };
      } catch (error) {
        signal.throwIfAborted();
        system.log.error(`erasing ${disk.name}: ${[errorText(error), ...reasons].join(": ")}`);
        outcomes[index] = { error, reasons };
      } finally {
        progress.end(index);
      }
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  return results(names, outcomes);
}

/** How many at a time. */
function concurrency(node: JsonObject): number {
  const wanted = eraseSetting(node, "disk_erasure_concurrency");
  return typeof wanted === "number" && wanted >= 1 ? Math.floor(wanted) : 1;
}

/** @throws the error of the first failed device, which also tells of the others */
function results(names: readonly string[], outcomes: readonly Outcome[]): JsonObject {
  const failed = outcomes.find((outcome) => "error" in outcome);
  if (failed === undefined || !("error" in failed))
    return Object.fromEntries(
      outcomes.map((outcome, index) => [names[index] ?? "", "result" in outcome ? outcome.result : null]),
    );
  const told = outcomes.map((outcome, index) => {
    if (!("error" in outcome)) return `${names[index]}: erased or left alone as configured`;
    const text =
      outcome.error instanceof BlockDeviceEraseError ? outcome.error.details : errorText(outcome.error);
    return `${names[index]}: ${outcome.reasons.length > 0 ? outcome.reasons.join("; ") : text}`;
  });
  const { error } = failed;
  if (error instanceof HardwareManagerMethodNotFound)
    throw new HardwareManagerMethodNotFound(`erase_block_device. ${told.join(". ")}`);
  if (error instanceof BlockDeviceEraseError)
    throw new BlockDeviceEraseError(told.join(". "), { cause: error });
  throw error;
}
