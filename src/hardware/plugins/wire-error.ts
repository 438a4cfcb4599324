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
  errorText,
  HardwareManagerConfigurationError,
  HardwareManagerMethodNotFound,
  HostDiskError,
  IncompatibleHardwareMethodError,
  InvalidCommandParamsError,
  RestError,
  ServicingError,
} from "../../errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../../json.ts";

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

/** Foreign code may throw anything: members that are no text become one, so that an error always gets through. */
export function toWireError(error: unknown): JsonObject {
  try {
    if (error instanceof RestError) {
      const { code, summary } = error;
      return {
        api: true,
        type: plainText(error.type),
        code: typeof code === "number" ? code : null,
        message: plainText(summary),
        details: plainText(error.details),
      };
    }
    if (!(error instanceof Error)) return { name: "Error", message: plainText(error) };
    const [name, message] = [plainText(error.name), plainText(error.message)];
    return { name, message, stack: plainText(error.stack ?? message) };
  } catch {
    return { name: "Error", message: UNREADABLE }; // a getter of it throws
  }
}

const UNREADABLE = "(something that throws when it is read)";

/** Any value as a text for people, whatever it does when it is read. */
export function plainText(value: unknown): string {
  if (typeof value === "string") return value;
  try {
    if (value instanceof Error) return String(errorText(value));
    return (typeof value === "object" ? JSON.stringify(value) : undefined) ?? String(value);
  } catch {
    return UNREADABLE; // which is no reason to fail
  }
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
