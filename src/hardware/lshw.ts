// lshw, the reference's source for memory modules and vendor names: asked only on machines without SMBIOS
// (device tree), because it scans everything there is and takes seconds where the tables take a millisecond.
// Rules: hardware specification 1.3, 1.4.

import { errorText } from "../errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../json.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import type { SystemVendor, UsbDevice } from "./manager.ts";
import { Shared } from "./shared.ts";

/** Bytes: a few hundred KiB on large machines. */
const MAX_OUTPUT = 32 * 1024 * 1024;
const TIMEOUT_SECONDS = 300;
const MIB = 2 ** 20;

/** lshw printed something else than a tree. */
export class LshwOutputError extends Error {}

/** The lshw of one agent: it looks at the whole machine, which takes seconds, so that one run answers as many questions as it can. */
export class Lshw {
  readonly #system: System;
  readonly #tree: Shared<JsonObject>;
  #last: { readonly text: string; readonly at: number } | null = null;

  constructor(system: System) {
    this.#system = system;
    this.#tree = new Shared(() => this.#ask());
  }

  /**
   * The tree, from one run for all who ask at the same time; who asks later gets a new one, in which changes of the machine show.
   * @throws ProgramMissingError, ProgramFailedError, LshwOutputError
   */
  tree(): Promise<JsonObject> {
    return this.#tree.get();
  }

  /** What it last printed, if it did so in the last `seconds`: for those whom a moment does not matter. */
  printed(seconds: number): string | null {
    if (this.#last !== null && this.#system.clock.monotonic() - this.#last.at > seconds) this.#last = null;
    return this.#last?.text ?? null;
  }

  async #ask(): Promise<JsonObject> {
    const { stdout } = await this.#system.run(["lshw", "-quiet", "-json"], {
      maxOutput: MAX_OUTPUT,
      timeout: TIMEOUT_SECONDS,
    });
    const tree = parseLshw(stdout);
    if (tree === null) throw new LshwOutputError("lshw printed no JSON object");
    this.#last = { text: stdout, at: this.#system.clock.monotonic() };
    return tree;
  }
}

/** lshw's tree; null, with a log line, if it is not installed, fails or prints no JSON. `ask` makes the tree. */
export async function runLshw(system: System, ask: () => Promise<JsonObject>): Promise<JsonObject | null> {
  try {
    return await ask();
  } catch (error) {
    const expected =
      error instanceof ProgramMissingError ||
      error instanceof ProgramFailedError ||
      error instanceof LshwOutputError;
    if (!expected) throw error;
    system.log.warning(`no SMBIOS and no lshw, memory modules and vendor are unknown: ${errorText(error)}`);
    return null;
  }
}

/** The root record; newer versions wrap it in a list. */
export function parseLshw(text: string): JsonObject | null {
  try {
    const document: Json = JSON.parse(text);
    const root = Array.isArray(document) ? (document[0] ?? null) : document;
    return isJsonObject(root) ? root : null;
  } catch {
    return null; // not JSON: the caller reports it
  }
}

/** MiB of all memory records, each rounded down: the size of the record, else that of its banks. */
export function lshwMemory(root: JsonObject): number {
  let total = 0;
  for (const core of childrenOf(root).filter(({ id }) => id === "core")) {
    for (const record of childrenOf(core)) {
      if (typeof record.id !== "string" || !/^memory(?::\d+)?$/.test(record.id)) continue;
      const size = sizeOf(record);
      if (size > 0) total += size;
      else total += childrenOf(record).reduce((sum, bank) => sum + sizeOf(bank), 0);
    }
  }
  return total;
}

export function lshwSystemVendor(root: JsonObject): SystemVendor {
  const core = childrenOf(root).find(({ id }) => id === "core");
  const firmware = core === undefined ? undefined : childrenOf(core).find(({ id }) => id === "firmware");
  return {
    product_name: textOf(root.product),
    serial_number: textOf(root.serial),
    manufacturer: textOf(root.vendor),
    firmware: {
      vendor: textOf(firmware?.vendor),
      version: textOf(firmware?.version),
      build_date: textOf(firmware?.date),
    },
  };
}

/** A record and everything below it, depth first. */
export function lshwRecords(root: JsonObject): JsonObject[] {
  return [root, ...childrenOf(root).flatMap(lshwRecords)];
}

/**
 * Devices on the USB bus of no particular class. The first on a bus has the id `usb`; where there are several, lshw numbers
 * them (`usb:0`), and the reference does not see those.
 */
export function lshwUsbDevices(root: JsonObject): UsbDevice[] {
  return lshwRecords(root)
    .filter(({ id, class: deviceClass }) => id === "usb" && deviceClass === "generic")
    .map(({ product, vendor, handle }) => ({
      product: textOf(product),
      vendor: textOf(vendor),
      handle: textOf(handle),
    }));
}

function childrenOf(record: JsonObject): JsonObject[] {
  return Array.isArray(record.children) ? record.children.filter(isJsonObject) : [];
}

/** Whole MiB; 0 without a size or with a unit other than bytes. */
function sizeOf({ size, units }: JsonObject): number {
  if (typeof size !== "number" || !(size > 0) || (units !== undefined && units !== "bytes")) return 0;
  return Math.floor(size / MIB);
}

function textOf(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}
