// In which mode the node is to boot and which kind of partition table it gets, from what the conductor says of it.
// Source: deploy specification 0.6.

import { isJsonObject, type Json, type JsonObject, member } from "../json.ts";
import type { System } from "../system/system.ts";

export type BootMode = "uefi" | "bios";

/** Where the kernel shows the firmware's services, if it was started by UEFI. */
export const EFI_FIRMWARE = "/sys/firmware/efi";

/** How this ramdisk was booted. */
export async function ramdiskBootMode(system: System): Promise<BootMode> {
  return (await system.files.targetKind(EFI_FIRMWARE)) === "directory" ? "uefi" : "bios";
}

/** How the node is to boot; the ramdisk's own mode if nobody says. */
export async function nodeBootMode(system: System, node: JsonObject): Promise<BootMode> {
  if (capability(node, "secure_boot")?.toLowerCase() === "true") return "uefi";
  const said =
    text(node, "instance_info", "deploy_boot_mode") ??
    capabilities(node, "properties").boot_mode ??
    text(node, "driver_internal_info", "deploy_boot_mode");
  const mode = said?.toLowerCase();
  return mode === "uefi" || mode === "bios" ? mode : ramdiskBootMode(system);
}

/** UEFI gets a GPT whatever was asked for; BIOS gets one if the node asks for exactly that. */
export function diskLabel(node: JsonObject, mode: BootMode, requested: string | null): "gpt" | "msdos" {
  return mode === "uefi" || (requested ?? capability(node, "disk_label")) === "gpt" ? "gpt" : "msdos";
}

/** The instance's capability, else the node's. */
function capability(node: JsonObject, name: string): string | undefined {
  return capabilities(node, "instance_info")[name] ?? capabilities(node, "properties")[name];
}

/** Capabilities come as an object, as JSON text, or as `name:value,name:value`; what is malformed is left out. */
function capabilities(node: JsonObject, holder: string): Record<string, string> {
  const value = member(member(node, holder), "capabilities");
  if (isJsonObject(value)) return asStrings(value);
  if (typeof value !== "string") return {};
  const parsed = parseJson(value);
  if (parsed !== undefined) return isJsonObject(parsed) ? asStrings(parsed) : {};
  const pairs = value.split(",").flatMap((item): [string, string][] => {
    const [name = "", said = "", more] = item.split(":").map((part) => part.trim());
    return name === "" || said === "" || more !== undefined ? [] : [[name, said]];
  });
  return Object.fromEntries(pairs);
}

function parseJson(value: string): Json | undefined {
  try {
    return JSON.parse(value);
  } catch {
    return undefined; // the form name:value
  }
}

function asStrings(object: JsonObject): Record<string, string> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, String(value)]));
}

function text(node: JsonObject, holder: string, name: string): string | undefined {
  const value = member(member(node, holder), name);
  return typeof value === "string" ? value : undefined;
}
