// Errors on their way between the agent and a plug-in: one of the API keeps its type, code and message, so that `instanceof` and the
// conductor see what the plug-in meant; of any other the name, the message and the stack come through.

import {
  BlockDeviceEraseError,
  BlockDeviceError,
  CleaningError,
  ClockSyncError,
  CommandExecutionError,
  DeploymentError,
  DeviceNotFound,
  HardwareManagerConfigurationError,
  HardwareManagerMethodNotFound,
  HostDiskError,
  IncompatibleHardwareMethodError,
  InvalidCommandParamsError,
  RestError,
  ServicingError,
} from "../../errors.ts";
import { isJsonObject, type Json } from "../../json.ts";

/** The errors a plug-in throws by their class; others of the API come through as RelayedError. */
const CLASSES: Readonly<Record<string, new (details: string) => RestError>> = {
  BlockDeviceEraseError,
  BlockDeviceError,
  CleaningError,
  ClockSyncError,
  CommandExecutionError,
  DeploymentError,
  DeviceNotFound,
  HardwareManagerConfigurationError,
  HostDiskError,
  IncompatibleHardwareMethodError,
  InvalidCommandParamsError,
  ServicingError,
};

/** An error of the API of a class that is only known where it was thrown. */
class RelayedError extends RestError {
  override readonly type: string;
  override readonly code: number;
  override readonly summary: string;

  constructor(type: string, code: number, summary: string, details: string) {
    super(details);
    this.type = type;
    this.code = code;
    this.summary = summary;
  }
}

/** What a plug-in's code threw without meaning to, under the name it had there. */
export class PluginCodeError extends Error {
  constructor(name: string, message: string, stack: string | null) {
    super(message);
    this.name = name;
    if (stack !== null) this.stack = stack;
  }
}

export function toWireError(error: unknown): Json {
  if (error instanceof RestError) return { api: true, ...error.serialize() };
  if (error instanceof Error) return { name: error.name, message: error.message, stack: error.stack ?? null };
  return { name: "Error", message: String(error) };
}

export function fromWireError(value: Json | undefined): Error {
  if (!isJsonObject(value)) return new PluginCodeError("Error", String(value), null);
  const message = typeof value.message === "string" ? value.message : "no reason given";
  if (value.api !== true) {
    const name = typeof value.name === "string" ? value.name : "Error";
    return new PluginCodeError(name, message, typeof value.stack === "string" ? value.stack : null);
  }
  return apiError(value.type, typeof value.details === "string" ? value.details : message, {
    code: value.code,
    summary: message,
  });
}

const METHOD_NOT_FOUND = "Could not find method: ";

/** An error of the API by the name of its type. A type that no conductor may see becomes CommandExecutionError. */
export function apiError(
  type: Json | undefined,
  details: string,
  more: { readonly code?: Json | undefined; readonly summary?: string } = {},
): RestError {
  if (typeof type !== "string") return new CommandExecutionError(details);
  const known = Object.hasOwn(CLASSES, type) ? CLASSES[type] : undefined;
  if (known !== undefined) return new known(details);
  if (type === "HardwareManagerMethodNotFound" && details.startsWith(METHOD_NOT_FOUND))
    return new HardwareManagerMethodNotFound(details.slice(METHOD_NOT_FOUND.length));
  // TypeError means to conductors that the command does not exist, and ends the whole operation.
  if (!/^[A-Z]\w{0,60}$/.test(type) || type === "TypeError") return new CommandExecutionError(details);
  const { code } = more;
  const valid = typeof code === "number" && Number.isInteger(code) && code >= 400 && code < 600;
  return new RelayedError(type, valid ? code : 500, more.summary ?? "A plug-in failed", details);
}
