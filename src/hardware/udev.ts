// udev's database, read from its files: the same properties as `udevadm info` prints, without a process per
// device.

import { FileError } from "../system/files.ts";
import type { System } from "../system/system.ts";

export type UdevProperties = ReadonlyMap<string, string>;

/** The properties of a block device by its "major:minor"; empty if udev does not know it. */
export async function readUdevProperties(system: System, deviceNumber: string): Promise<UdevProperties> {
  try {
    return parseUdevDatabase(await system.files.readText(`/run/udev/data/b${deviceNumber}`));
  } catch (error) {
    if (error instanceof FileError) return new Map();
    throw error;
  }
}

/** The `E:KEY=value` lines of a record; a repeated key keeps the last value. */
export function parseUdevDatabase(text: string): UdevProperties {
  const properties = new Map<string, string>();
  for (const line of text.split("\n")) {
    const equals = line.indexOf("=");
    if (line.startsWith("E:") && equals > 2) properties.set(line.slice(2, equals), line.slice(equals + 1));
  }
  return properties;
}
