// The collector dmi-decode: firmware, processors and memory modules in dmidecode's own words, which is what
// its users match on. Rules: hardware specification 11.3.

import type { JsonObject } from "../json.ts";
import type { System } from "../system/system.ts";
import type { Collector } from "./collector.ts";

/** Bytes: machines with hundreds of modules print a few hundred KiB. */
const MAX_OUTPUT = 16 * 1024 * 1024;

const BIOS = 0;
const PROCESSOR = 4;
const MEMORY_ARRAY = 16;
const MEMORY_DEVICE = 17;

/** A block of dmidecode: values by key, lists where the values stand on lines of their own. */
type DmiBlock = { [key: string]: string | string[] };

export class DmiFormatError extends Error {}

/** @throws ProgramMissingError, ProgramFailedError, DmiFormatError */
export const collectDmi: Collector = async ({ system }) => ({
  dmi: parseDmi(await dmidecode(system), system.log.warning),
});

async function dmidecode(system: System): Promise<string> {
  const argv = ["dmidecode", "-t", "bios", "-t", "processor", "-t", "memory"];
  return (await system.run(argv, { maxOutput: MAX_OUTPUT })).stdout;
}

/**
 * `{bios, cpu, memory}`; {} with a warning when a number of slots is none.
 * @throws DmiFormatError when a memory array lacks what the reference takes for granted
 */
export function parseDmi(text: string, warn: (message: string) => void): JsonObject {
  const blocks = text
    .split(/\n[ \t]*\n/)
    .map((block) => block.trim())
    .filter((block) => block.startsWith("Handle 0x"))
    .map((block) => ({ type: typeOf(block), values: parseBlock(block) }));
  const ofType = (wanted: number) => blocks.filter(({ type }) => type === wanted).map(({ values }) => values);
  const slots = ofType(MEMORY_ARRAY).map((array) => array["Number Of Devices"]);
  const odd = slots.find((number) => number !== undefined && !/^-?\d+$/.test(String(number)));
  if (odd !== undefined) {
    warn(`dmidecode tells of a memory array with ${String(odd)} devices; its information is left out`);
    return {};
  }
  if (slots.includes(undefined))
    throw new DmiFormatError("dmidecode tells of a memory array without Number Of Devices");
  return {
    bios: ofType(BIOS).at(-1) ?? {},
    cpu: ofType(PROCESSOR),
    memory: memory(ofType(MEMORY_ARRAY), ofType(MEMORY_DEVICE)),
  };
}

/** The first array stands for all; only the slots are added up. */
function memory(arrays: readonly DmiBlock[], devices: DmiBlock[]): JsonObject {
  const [first] = arrays;
  if (first === undefined) return { devices };
  const { Handle: _, ...values } = first;
  const slots = arrays.reduce((sum, array) => sum + Number(array["Number Of Devices"]), 0);
  return { ...values, "Number Of Devices": slots, ...(devices.length === 0 ? {} : { devices }) };
}

function typeOf(block: string): number {
  return Number(/DMI type (\d+)/.exec(block)?.[1] ?? Number.NaN);
}

function parseBlock(block: string): DmiBlock {
  const values: DmiBlock = {};
  let list: string[] | null = null;
  for (const line of block.split("\n").map((text) => text.trim())) {
    const colon = line.indexOf(":");
    if (colon >= 0) {
      const [key, value] = [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
      list = value === "" ? [] : null;
      // Defined, not assigned: firmware may call a key __proto__.
      Object.defineProperty(values, key, {
        value: list ?? value,
        enumerable: true,
        writable: true,
        configurable: true,
      });
    } else if (line.includes("Handle 0x")) {
      values.Handle = line;
    } else {
      list?.push(line);
    }
  }
  return values;
}
