// What udev knows of every block device, for the collected logs: wrong serials and missing links are a frequent reason for "no disk".

import type { System } from "../system/system.ts";
import { readUdevProperties } from "./udev.ts";

const BLOCK = "/sys/class/block";

/** One JSON object per device, by `udev/<kernel name>`; devices unknown to udev are left out. */
export async function udevLogs(system: System): Promise<Record<string, string>> {
  const logs: Record<string, string> = {};
  for (const name of await system.files.list(BLOCK)) {
    const number = await system.files.readAttribute(`${BLOCK}/${name}/dev`);
    if (number === null) continue;
    const properties = await readUdevProperties(system, number);
    if (properties.size > 0) logs[`udev/${name}`] = JSON.stringify(Object.fromEntries(properties), null, 2);
  }
  return logs;
}
