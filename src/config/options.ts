// The ONE table of options, put together from its sections in options/. The command line, the INI files, the environment, the
// kernel line, --help and the documentation are all made from it, so an option cannot exist in one of them only.
// Names, types, defaults and kernel parameters are the reference's (control-plane specification 2.6 and 2.7).

import type { OptionSpec, OptionTable, ValueOf } from "./option-spec.ts";
import { COMPATIBILITY } from "./options/compatibility.ts";
import { CONTAINERS } from "./options/containers.ts";
import { DISKS } from "./options/disks.ts";
import { HARDWARE } from "./options/hardware.ts";
import { IMAGES } from "./options/images.ts";
import { INSPECTION } from "./options/inspection.ts";
import { IRONIC, MDNS } from "./options/ironic.ts";
import { LOG } from "./options/log.ts";
import { METRICS } from "./options/metrics.ts";
import { SERVER } from "./options/server.ts";

/** Every option: `name` in [DEFAULT] and on the command line, `group.name` in files and the environment only. */
export const OPTIONS = {
  ...SERVER,
  ...IRONIC,
  ...MDNS,
  ...HARDWARE,
  ...INSPECTION,
  ...IMAGES,
  ...DISKS,
  ...METRICS,
  ...CONTAINERS,
  ...LOG,
  ...COMPATIBILITY,
};

/** The table in the order people read it. */
export const OPTION_SECTIONS: readonly { readonly title: string; readonly options: OptionTable }[] = [
  { title: "API server and advertised address", options: SERVER },
  { title: "Ironic", options: IRONIC },
  { title: "Finding Ironic by multicast DNS", options: MDNS },
  { title: "Hardware", options: HARDWARE },
  { title: "Inspection", options: INSPECTION },
  { title: "Images", options: IMAGES },
  { title: "Disks", options: DISKS },
  { title: "Metrics", options: METRICS },
  { title: "Containers", options: CONTAINERS },
  { title: "Log", options: LOG },
  { title: "Accepted for compatibility", options: COMPATIBILITY },
];

export type OptionName = keyof typeof OPTIONS;
export type OptionValue<N extends OptionName> = ValueOf<(typeof OPTIONS)[N]>;
export type OptionValues = { readonly [N in OptionName]: OptionValue<N> };

/** All names in table order. */
export const OPTION_NAMES = Object.keys(OPTIONS) as OptionName[];

/** The entry of an option, with the general type. */
export function optionSpec(name: OptionName): OptionSpec {
  return OPTIONS[name];
}

/** `[group]` of an option and its name inside it. */
export function splitName(name: OptionName): { group: string; key: string } {
  const dot = name.indexOf(".");
  return dot < 0 ? { group: "DEFAULT", key: name } : { group: name.slice(0, dot), key: name.slice(dot + 1) };
}
