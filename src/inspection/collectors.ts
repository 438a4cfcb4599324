// The collectors by the names that operators configure. Names, keys: control-plane specification 8.3,
// hardware specification 11.

import type { Collector } from "./collector.ts";
import { collectDefault } from "./default.ts";
import { collectDmi } from "./dmi.ts";
import { collectExtraHardware } from "./extra-hardware/extra-hardware.ts";
import { collectLldp, collectParsedLldp } from "./lldp.ts";
import { collectLogs } from "./logs.ts";
import { collectNuma } from "./numa.ts";
import { collectPci } from "./pci.ts";
import { collectUsb } from "./usb.ts";

export const COLLECTORS: Readonly<Record<string, Collector>> = {
  default: collectDefault,
  logs: collectLogs,
  "pci-devices": collectPci,
  "usb-devices": collectUsb,
  "dmi-decode": collectDmi,
  "numa-topology": collectNuma,
  "extra-hardware": collectExtraHardware,
  lldp: collectLldp,
  "parsed-lldp": collectParsedLldp,
};

/** What runs when nothing is configured. */
export const DEFAULT_COLLECTORS: readonly string[] = ["default", "logs"];
