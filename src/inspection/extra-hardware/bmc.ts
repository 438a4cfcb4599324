// The BMC as hardware-detect tells of it: its LAN settings and its sensors, through ipmitool.

import { errorText } from "../../errors.ts";
import { firstSessionChannel, ipmiLanText, ipmiSensors } from "../../hardware/ipmitool.ts";
import { ProgramFailedError, ProgramMissingError } from "../../system/programs.ts";
import type { System } from "../../system/system.ts";
import type { Facts } from "./facts.ts";

const DEVICES = ["/dev/ipmi0", "/dev/ipmi/0", "/dev/ipmidev/0"];
const CHANNELS = Array.from({ length: 16 }, (_, channel) => channel);

/** A BMC that does not answer, or a machine without ipmitool, is a warning. */
export async function addBmc(facts: Facts, system: System): Promise<void> {
  const kinds = await Promise.all(DEVICES.map((device) => system.files.targetKind(device)));
  if (kinds.every((kind) => kind === null)) return;
  try {
    const [channel, lan, sensors] = await Promise.all([
      firstSessionChannel(system, CHANNELS),
      ipmiLanText(system),
      ipmiSensors(system),
    ]);
    facts.add("system", "ipmi", "channel", channel === null ? null : String(channel));
    for (const [property, value] of parseLanLines(lan)) facts.add("ipmi", "lan", property, value);
    for (const { name, value, unit } of parseSensors(sensors)) {
      facts.add("ipmi", name, "value", value);
      facts.add("ipmi", name, "unit", unit);
    }
  } catch (error) {
    if (!(error instanceof ProgramMissingError || error instanceof ProgramFailedError)) throw error;
    system.log.warning(`the BMC's settings and sensors are left out: ${errorText(error)}`);
  }
}

/** `IP Address Source       : Static Address` → `ip-address-source`. */
export function parseLanLines(text: string): [property: string, value: string][] {
  return text.split("\n").flatMap((line): [string, string][] => {
    const [, key, value] = /^([^:]+[^ ])\s*:\s*(.*[^ ])\s*$/.exec(line) ?? [];
    return key === undefined || value === undefined ? [] : [[key.toLowerCase().split(" ").join("-"), value]];
  });
}

export type Sensor = { readonly name: string; readonly value: string; readonly unit: string | null };

/** `Temp | 23 degrees C | ok` */
export function parseSensors(text: string): Sensor[] {
  return text.split("\n").flatMap((line) => {
    const [name, reading, status] = line.split("|").map((part) => part.trim());
    if (name === undefined || reading === undefined || status === undefined) return [];
    if (line.includes("Not Readable")) return [{ name, value: "Not Readable", unit: null }];
    const [value = "", ...unit] = reading.split(/\s+/);
    return value === "" ? [] : [{ name, value, unit: unit.join(" ") || null }];
  });
}
