// What an inspection posts, as far as the matrix looks into it.

import type { Inventory, InventoryDisk } from "../../../src/hardware/manager.ts";
import type { Fact } from "../../../src/inspection/extra-hardware/facts.ts";
import type { JsonObject } from "../../../src/json.ts";

type Texts = Readonly<Record<string, string | readonly string[]>>;

export type Inspected = {
  readonly inventory: Inventory;
  readonly root_disk?: InventoryDisk;
  readonly boot_interface: string | null;
  readonly configuration: JsonObject;
  readonly pci_devices: readonly JsonObject[];
  readonly usb_devices: readonly JsonObject[];
  readonly dmi: {
    readonly bios: Texts;
    readonly cpu: readonly Texts[];
    readonly memory: { readonly "Number Of Devices": number; readonly devices: readonly Texts[] };
  };
  readonly numa_topology: {
    readonly ram: readonly { readonly numa_node: number; readonly size_kb: number }[];
    readonly cpus: readonly JsonObject[];
    readonly nics: readonly { readonly name: string; readonly numa_node: number }[];
  };
  readonly data: readonly Fact[];
  readonly lldp_raw: Readonly<Record<string, readonly (readonly [number, string])[]>>;
  readonly parsed_lldp: Readonly<Record<string, JsonObject>>;
  /** A tar archive, compressed by gzip, in base64. */
  readonly logs: string;
  readonly error: string | null;
};
