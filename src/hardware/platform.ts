// Who tells about the machine's modules, maker and firmware: its SMBIOS tables, else lshw, else nobody.

import type { JsonObject } from "../json.ts";
import type { System } from "../system/system.ts";
import { Lshw, lshwSystemVendor, runLshw } from "./lshw.ts";
import type { SystemVendor } from "./manager.ts";
import { readSmbios, type SmbiosStructure, systemVendor } from "./smbios.ts";

export type Platform =
  | { readonly source: "smbios"; readonly structures: readonly SmbiosStructure[] }
  | { readonly source: "lshw"; readonly tree: JsonObject }
  | { readonly source: "none" };

/** `lshw` makes lshw's tree, should it be needed. */
export async function readPlatform(
  system: System,
  lshw: () => Promise<JsonObject> = () => new Lshw(system).tree(),
): Promise<Platform> {
  const structures = await readSmbios(system);
  if (structures !== null) return { source: "smbios", structures };
  const tree = await runLshw(system, lshw);
  return tree === null ? { source: "none" } : { source: "lshw", tree };
}

/** Texts are "" when unknown (hardware specification 1.4). */
export function platformVendor(platform: Platform): SystemVendor {
  switch (platform.source) {
    case "smbios":
      return systemVendor(platform.structures);
    case "lshw":
      return lshwSystemVendor(platform.tree);
    case "none":
      return {
        product_name: "",
        serial_number: "",
        manufacturer: "",
        firmware: { vendor: "", version: "", build_date: "" },
      };
  }
}
