// Erasing an NVMe namespace by its controller: the Format command with a secure erase setting. Source: hardware specification
// 8.6; NVM Express Base Specification, Identify Controller (OACS, FNA) and Format NVM.

import { BlockDeviceEraseError, errorText } from "../errors.ts";
import { isJsonObject } from "../json.ts";
import type { ReportProgress } from "../progress.ts";
import { lastLines } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { devicePath } from "./block-tree.ts";
import { reportWhile } from "./elapsed-progress.ts";

/** Bits of OACS and FNA. */
const FORMAT_SUPPORTED = 2;
const ERASES_ALL_NAMESPACES = 2;
const CRYPTO_ERASE_SUPPORTED = 4;

/** The secure erase settings of the Format command. */
const MODES = { "user-data": "1", crypto: "2" } as const;

export type NvmeErasure = {
  readonly mode: keyof typeof MODES;
  /** True: the controller erases all its namespaces, whichever is named. */
  readonly allNamespaces: boolean;
};

/** True for a namespace, false for its partitions. */
export function isNvmeNamespace(device: string): boolean {
  return /^\/dev\/nvme\d+n\d+$/.test(device);
}

/** What an Identify Controller says of erasing, as the numbers it has. */
export type NvmeController = { readonly oacs: number; readonly fna: number; readonly sanicap: number };

/** @throws BlockDeviceEraseError if the controller does not say what it can do */
export async function identifyController(
  system: System,
  device: string,
  signal: AbortSignal,
): Promise<NvmeController> {
  try {
    const { stdout } = await system.run(["nvme", "id-ctrl", device, "-o", "json"], { signal });
    return parseIdentifyController(stdout, device);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof BlockDeviceEraseError) throw error;
    throw new BlockDeviceEraseError(
      `The NVMe controller of ${device} does not tell what it can do: ${errorText(error)}`,
      { cause: error },
    );
  }
}

/** @throws BlockDeviceEraseError */
export function parseIdentifyController(stdout: string, device: string): NvmeController {
  let document: unknown;
  try {
    document = JSON.parse(stdout);
  } catch (error) {
    throw new BlockDeviceEraseError(`nvme printed no JSON for ${device}: ${stdout.slice(0, 200)}`, {
      cause: error,
    });
  }
  const { oacs, fna, sanicap } = isJsonObject(document) ? document : {};
  if (typeof oacs !== "number" || typeof fna !== "number")
    throw new BlockDeviceEraseError(
      `The NVMe controller of ${device} does not tell what it can do: nvme printed neither OACS nor FNA`,
    );
  // Before NVMe 1.3 there was no Sanitize.
  return { oacs, fna, sanicap: typeof sanicap === "number" ? sanicap : 0 };
}

/** How the Format command erases there. @throws BlockDeviceEraseError if there is none */
export function formatErasure({ oacs, fna }: NvmeController, device: string): NvmeErasure {
  if ((oacs & FORMAT_SUPPORTED) === 0)
    throw new BlockDeviceEraseError(
      `The NVMe controller of ${device} has no Format command (OACS ${oacs}), so it cannot erase securely`,
    );
  return {
    mode: (fna & CRYPTO_ERASE_SUPPORTED) === 0 ? "user-data" : "crypto",
    allNamespaces: (fna & ERASES_ALL_NAMESPACES) !== 0,
  };
}

/** The other namespaces of the same controller, as paths. */
export async function siblingNamespaces(system: System, device: string): Promise<string[]> {
  const name = device.slice("/dev/".length);
  const controller = await system.files.realPath(`/sys/class/block/${name}/device`);
  const entries = await system.files.list(controller);
  return entries.filter((entry) => /^nvme\d+n\d+$/.test(entry) && entry !== name).map(devicePath);
}

/**
 * Formats the namespace.
 * @returns the last lines of the tool's output
 * @throws BlockDeviceEraseError
 */
export async function formatNvme(
  system: System,
  device: string,
  { mode }: NvmeErasure,
  options: { readonly signal: AbortSignal; readonly report: ReportProgress },
): Promise<string> {
  const { signal, report } = options;
  try {
    const running = system.run(["nvme", "format", device, "-s", MODES[mode], "-f"], {
      timeout: Number.POSITIVE_INFINITY,
      signal,
    });
    const phase = `NVMe format (${mode})`;
    const { stdout, stderr } = await reportWhile(running, {
      clock: system.clock,
      report,
      phase,
      expected: null,
    });
    return lastLines(`${stdout}\n${stderr}`);
  } catch (error) {
    signal.throwIfAborted();
    throw new BlockDeviceEraseError(`The NVMe format (${mode}) of ${device} failed: ${errorText(error)}`, {
      cause: error,
    });
  }
}
