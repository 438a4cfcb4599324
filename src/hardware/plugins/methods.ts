// The methods of a manager that a plug-in may answer itself: what the agent calls them, what an executable is given, and what may come
// back. A method that is not here is the plug-in's own, for other plug-ins.

import type { TSchema } from "@sinclair/typebox";
import { Type } from "@sinclair/typebox";
import type { Json, JsonObject } from "../../json.ts";
import type { DeviceKind, ManagerMethod } from "../manager.ts";
import { wireName } from "../wire-name.ts";
import * as schemas from "./schemas.ts";

export type PluginMethod = {
  /** What may come back. `args` as they were given. */
  readonly result: (args: readonly Json[]) => TSchema;
  /** The arguments by the reference's names, as an executable gets them. */
  readonly named: (args: readonly Json[]) => JsonObject;
  /**
   * What becomes of a question that the plug-in fails at (not one it passes on): the next manager is asked instead, the disk
   * stays hidden, or the failure counts. A decision about disks is never replaced by somebody else's.
   */
  readonly onFailure: "ask the next" | "hide disks" | "fail";
  /**
   * Work of a step, which takes its time and ends with the step. Everything else has to be answered within the time limit, because
   * the start-up or a synchronous command waits for it, and all later commands for that.
   */
  readonly work?: true;
};

const none = () => ({});
const fact = (result: TSchema, named: PluginMethod["named"] = none): PluginMethod => ({
  result: () => result,
  named,
  onFailure: "ask the next",
});

const DEVICES: Readonly<Record<DeviceKind, TSchema>> = {
  disk: schemas.blockDevice,
  interface: schemas.networkInterface,
  usb: schemas.usbDevice,
};

export const PLUGIN_METHODS = {
  listNetworkInterfaces: fact(Type.Array(schemas.networkInterface)),
  getInterfaceInfo: fact(schemas.networkInterface, ([name]) => ({ interface_name: name ?? null })),
  getCpus: fact(schemas.cpu),
  getMemory: fact(schemas.memory),
  getBmcAddress: fact(schemas.textOrNull),
  getBmcV6Address: fact(schemas.textOrNull),
  getBmcMac: fact(schemas.textOrNull),
  getBootInfo: fact(schemas.bootInfo),
  getSystemVendorInfo: fact(schemas.systemVendor),
  listHardwareInfo: fact(schemas.inventory),
  getUsbDevices: fact(Type.Array(schemas.usbDevice)),
  collectLldpData: fact(schemas.lldpData, ([names]) => ({ interface_names: names ?? null })),
  collectSystemLogs: fact(schemas.systemLogs),
  filterDevice: {
    result: ([, kind]) => Type.Union([DEVICES[kind as DeviceKind] ?? schemas.anyJson, Type.Null()]),
    named: ([device, kind]) => ({ device: device ?? null, kind: kind ?? null }),
    onFailure: "hide disks",
  },
  listBlockDevices: {
    result: () => Type.Array(schemas.blockDevice),
    named: ([options]) => ({ include_partitions: flag(options, "includePartitions") }),
    onFailure: "fail",
  },
  getOsInstallDevice: {
    result: () => Type.String({ pattern: "^/dev/" }),
    named: ([options]) => ({ permit_refresh: flag(options, "refresh") }),
    onFailure: "fail",
  },
  eraseBlockDevice: {
    result: () => schemas.anyJson,
    named: ([node, device]) => ({ node: node ?? null, block_device: device ?? null }),
    onFailure: "fail",
    work: true,
  },
  fullSync: { result: () => schemas.nothing, named: none, onFailure: "fail" },
  waitForDisks: fact(schemas.nothing),
} as const satisfies Record<ManagerMethod, PluginMethod>;

export type PluginMethodName = keyof typeof PLUGIN_METHODS;

export function isPluginMethod(name: string): name is PluginMethodName {
  return Object.hasOwn(PLUGIN_METHODS, name);
}

/** `list_block_devices` → `listBlockDevices`; null for a name that is none of the agent's. */
export function byWireName(name: string): PluginMethodName | null {
  return (
    (Object.keys(PLUGIN_METHODS) as PluginMethodName[]).find((method) => wireName(method) === name) ?? null
  );
}

function flag(options: Json | undefined, name: string): boolean {
  return typeof options === "object" && options !== null && !Array.isArray(options) && options[name] === true;
}
