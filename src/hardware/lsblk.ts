// The one call of lsblk that lists block devices, and its output as typed rows. NAME is not asked for, so
// that the JSON is a flat list. The types of the values vary between versions of util-linux: numbers may be
// strings, booleans "0" and "1", missing text null or empty.

import { BlockDeviceError } from "../errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../json.ts";
import type { System } from "../system/system.ts";

const COLUMNS = [
  "KNAME",
  "MODEL",
  "SIZE",
  "ROTA",
  "TYPE",
  "UUID",
  "PARTUUID",
  "SERIAL",
  "WWN",
  "LOG-SEC",
  "PHY-SEC",
  "TRAN",
];

/** Bytes: room for a few thousand devices. */
const MAX_OUTPUT = 16 * 1024 * 1024;

/** A row as lsblk wrote it; keys in lower case. Which rows must be complete is the filter's question. */
export type LsblkRow = JsonObject;

/** One device. Null is "nothing there", also where lsblk prints an empty text. */
export type LsblkDevice = {
  /** Kernel name as in /dev: may hold slashes. */
  kname: string;
  model: string | null;
  /** Bytes. */
  size: number;
  rotational: boolean;
  type: string;
  uuid: string | null;
  partuuid: string | null;
  serial: string | null;
  wwn: string | null;
  /** Bytes. */
  logicalSectorSize: number | null;
  physicalSectorSize: number | null;
  transport: string | null;
};

/** Which rows are wanted; see selectDevices. */
export type DeviceSelection = {
  readonly types: readonly string[];
  /** Arrays and other devices made of several are left out. */
  readonly ignoreRaid: boolean;
};

/** @throws ProgramMissingError, ProgramFailedError; BlockDeviceError if the output is not lsblk's JSON. */
export async function listBlockDeviceRows(system: System): Promise<LsblkRow[]> {
  const { stdout } = await system.run(["lsblk", "-bia", "--json", `-o${COLUMNS.join(",")}`], {
    maxOutput: MAX_OUTPUT,
  });
  return parseLsblk(stdout);
}

/** @throws BlockDeviceError if `text` is not lsblk's JSON. */
export function parseLsblk(text: string): LsblkRow[] {
  // No block device at all: lsblk prints nothing.
  if (text.trim() === "") return [];
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw new BlockDeviceError(`lsblk printed no JSON: ${text.slice(0, 200)}`, { cause: error });
  }
  const rows: unknown = isJsonObject(document) ? document.blockdevices : undefined;
  if (!Array.isArray(rows) || !rows.every(isJsonObject)) {
    throw new BlockDeviceError(`lsblk printed no list of block devices: ${text.slice(0, 200)}`);
  }
  return rows;
}

/**
 * The wanted devices, in lsblk's order, each kernel name once: an array is printed under each of its members.
 * Floppies, RAM disks and devices without a medium are never wanted. The order of the tests is the
 * reference's (hardware specification 2.3).
 * @throws BlockDeviceError naming the columns that a wanted row lacks.
 */
export function selectDevices(rows: readonly LsblkRow[], selection: DeviceSelection): LsblkDevice[] {
  const selected = new Map<string, LsblkDevice>();
  for (const row of rows) {
    const kname = textOf(row.kname);
    if (kname !== null && (selected.has(kname) || kname.startsWith("fd"))) continue;
    if (!isWantedType(textOf(row.type), selection)) continue;
    const missing = COLUMNS.map((column) => column.toLowerCase()).filter(
      (column) => !Object.hasOwn(row, column),
    );
    if (kname === null || missing.length > 0) {
      const columns = missing.length > 0 ? missing.sort().join(", ") : "kname";
      throw new BlockDeviceError(
        `lsblk did not print these columns for ${kname ?? "a device"}: ${columns}; is util-linux too old?`,
      );
    }
    const size = numberOf(row.size) ?? 0;
    if (/^z?ram/.test(kname) || size === 0) continue;
    selected.set(kname, {
      kname,
      model: textOf(row.model),
      size,
      rotational: flagOf(row.rota),
      type: textOf(row.type) ?? "",
      uuid: textOf(row.uuid),
      partuuid: textOf(row.partuuid),
      serial: textOf(row.serial),
      wwn: textOf(row.wwn),
      logicalSectorSize: numberOf(row["log-sec"]),
      physicalSectorSize: numberOf(row["phy-sec"]),
      transport: textOf(row.tran),
    });
  }
  return [...selected.values()];
}

function isWantedType(type: string | null, { types, ignoreRaid }: DeviceSelection): boolean {
  if (type !== null && types.includes(type)) return true;
  if (type === null || ignoreRaid) return false;
  const disksWanted = types.includes("disk");
  if (type.includes("raid")) return disksWanted || types.includes("raid") || types.includes("mpath");
  if (type === "md") return types.includes("part") || types.includes("md");
  return type === "mpath" && disksWanted;
}

function textOf(value: Json | undefined): string | null {
  return typeof value === "string" && value.trim() !== "" ? value.trim() : null;
}

function numberOf(value: Json | undefined): number | null {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isSafeInteger(number) && number >= 0 ? number : null;
}

function flagOf(value: Json | undefined): boolean {
  return value === true || value === 1 || value === "1" || value === "true";
}
