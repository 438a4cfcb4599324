// The errors of the agent's API: one class per error of the reference, with its type name, code and message.
// The type name is a string of its own, not `constructor.name`, because a bundler may rename classes.
// Source: ironic-python-agent errors.py; conductors match on code and text, operators read `details`.

import type { Json } from "./json.ts";
import { pythonText } from "./python-text.ts";

/** What the wire shows of an error: `command_error` of a failed command. */
export type SerializedError = { type: string; code: number; message: string; details: string };

const DEFAULT_DETAILS = "An unexpected error occurred. Please try back later.";

/** Any failure that may leave the agent. Its text form is `message: details`. */
export class RestError extends Error {
  readonly type: string = "RESTError";
  readonly code: number = 500;
  /** The constant sentence of the class; `details` says what happened this time. */
  readonly summary: string = "An error occurred";
  readonly details: string;

  /** Empty details, e.g. of a foreign error without a message, say as little as none. */
  constructor(details = "", options?: ErrorOptions) {
    super(details || DEFAULT_DETAILS, options);
    this.details = details || DEFAULT_DETAILS;
  }

  override toString(): string {
    return `${this.summary}: ${this.details}`;
  }

  serialize(): SerializedError {
    return { type: this.type, code: this.code, message: this.summary, details: this.details };
  }
}

// --- What the client did wrong: these become the HTTP answer, and no command result is recorded. ---

export class InvalidContentError extends RestError {
  override readonly type: string = "InvalidContentError";
  override readonly code: number = 400;
  override readonly summary: string = "Invalid request body";
}

export class InvalidCommandError extends InvalidContentError {
  override readonly type = "InvalidCommandError";
  override readonly summary = "Invalid command";
}

export class InvalidCommandParamsError extends InvalidContentError {
  override readonly type = "InvalidCommandParamsError";
  override readonly summary = "Invalid command parameters";
}

export class RequestedObjectNotFoundError extends RestError {
  override readonly type = "RequestedObjectNotFoundError";
  override readonly code = 404;
  override readonly summary = "Not found";

  constructor(kind: string, id: string) {
    super(`${kind} with id ${id} not found.`);
  }
}

export class AgentIsBusy extends RestError {
  override readonly type = "AgentIsBusy";
  override readonly code = 409;
  override readonly summary = "Agent is busy";

  constructor(commandName: string) {
    super(`executing command ${commandName}`);
  }
}

// --- Commands and steps ---

export class CommandExecutionError extends RestError {
  override readonly type: string = "CommandExecutionError";
  override readonly summary: string = "Command execution failed";
}

/** A step names a container image that the operator has not allowed. */
export class ContainerNotPermittedError extends CommandExecutionError {
  override readonly type = "ContainerNotPermittedError";
  override readonly summary = "Container image not permitted";

  constructor(url: string) {
    super(
      `Container image ${url} is not in [container]allowed_containers and [container]allow_arbitrary_containers is not enabled.`,
    );
  }
}

export class CleaningError extends RestError {
  override readonly type: string = "CleaningError";
  override readonly summary: string = "Clean step failed";
}

export class DeploymentError extends RestError {
  override readonly type: string = "DeploymentError";
  override readonly summary: string = "Deploy step failed";
}

export class ServicingError extends RestError {
  override readonly type = "ServicingError";
  override readonly summary = "Service step failed";
}

export class VersionMismatch extends RestError {
  override readonly type = "VersionMismatch";
  override readonly code = 409;
  override readonly summary = "Hardware managers version mismatch, reload agent with correct version";

  constructor(current: Record<string, string>, provided: Json) {
    super(`Current versions: ${pythonText(current)}, versions used by ironic: ${pythonText(provided)}`);
  }
}

// --- Ironic ---

export class LookupNodeError extends RestError {
  override readonly type = "LookupNodeError";
  override readonly summary = "Error getting configuration from Ironic";
}

export class LookupAgentIPError extends RestError {
  override readonly type = "LookupAgentIPError";
  override readonly summary = "Error finding IP for Ironic Agent";
}

export class IronicApiError extends RestError {
  override readonly type = "IronicAPIError";
  override readonly summary = "Error in call to ironic-api";
}

export class HeartbeatError extends RestError {
  override readonly type: string = "HeartbeatError";
  override readonly summary: string = "Error heartbeating to agent API";
}

export class HeartbeatConflictError extends HeartbeatError {
  override readonly type = "HeartbeatConflictError";
  override readonly summary = "ConflictError heartbeating to agent API";
}

export class HeartbeatConnectionError extends HeartbeatError {
  override readonly type = "HeartbeatConnectionError";
  override readonly summary =
    "Error attempting to heartbeat - Possible transitory network failure or blocking port may be present.";
}

/** Nobody answered the question for an OpenStack service by multicast DNS, or not usefully. */
export class ServiceLookupFailure extends RestError {
  override readonly type = "ServiceLookupFailure";
  override readonly summary: string;

  constructor(service: string, reason: string) {
    super(reason);
    this.summary = `Cannot find ${service} service through multicast`;
  }
}

export class UnknownNodeError extends RestError {
  override readonly type = "UnknownNodeError";
  override readonly summary = "Agent is not associated with an Ironic node";
}

// --- Hardware ---

export class HardwareManagerNotFound extends RestError {
  override readonly type = "HardwareManagerNotFound";
  override readonly summary = "No valid HardwareManager found";
}

export class HardwareManagerMethodNotFound extends RestError {
  override readonly type = "HardwareManagerMethodNotFound";
  override readonly summary = "No HardwareManager found to handle method";

  constructor(method: string) {
    super(`Could not find method: ${method}`);
  }
}

/** What a manager was given to work with (its own file included) is not usable. */
export class HardwareManagerConfigurationError extends RestError {
  override readonly type = "HardwareManagerConfigurationError";
  override readonly summary = "Hardware manager configuration error";
}

/** A manager's way to say "not mine, ask the next one". */
export class IncompatibleHardwareMethodError extends RestError {
  override readonly type = "IncompatibleHardwareMethodError";
  override readonly summary = "HardwareManager method is not compatible with hardware";
}

export class DeviceNotFound extends RestError {
  override readonly type = "DeviceNotFound";
  override readonly code = 404;
  override readonly summary = "Error finding the disk or partition device to deploy the image onto";
}

export class BlockDeviceError extends RestError {
  override readonly type = "BlockDeviceError";
  override readonly summary = "Block device caused unknown error";
}

export class BlockDeviceEraseError extends RestError {
  override readonly type = "BlockDeviceEraseError";
  override readonly summary = "Error erasing block device";
}

export class SoftwareRAIDError extends RestError {
  override readonly type = "SoftwareRAIDError";
  override readonly summary = "Software RAID caused unknown error";
}

/** What the kernel tells of the machine's NUMA nodes makes no sense; the collector that meets it leaves the topology out. */
export class IncompatibleNumaFormatError extends RestError {
  override readonly type = "IncompatibleNumaFormatError";
  override readonly summary = "Error in NUMA node data format";
}

/** Cleaning would destroy a file system that other machines share. */
export class ProtectedDeviceError extends CleaningError {
  override readonly type = "ProtectedDeviceError";
  override readonly summary: string;

  constructor(device: string, content: string) {
    const text =
      `Protected ${content} located on device ${device}. This volume or contents may be a shared block device. ` +
      "Please consult your storage administrator, and restart cleaning after either detaching the volumes, or " +
      "instructing the agent to not protect contents (option guard_special_filesystems).";
    super(text);
    this.summary = text;
  }
}

// --- Images ---

export class ImageDownloadError extends RestError {
  override readonly type: string = "ImageDownloadError";
  override readonly summary: string = "Error downloading image";
  /** What went wrong, without the sentence around it. */
  readonly reason: string;

  constructor(imageId: string, reason: string, options?: ErrorOptions) {
    super(`Download of image ${imageId} failed: ${reason}`, options);
    this.reason = reason;
  }
}

/** No attempt can succeed: the server said so, or the request cannot be made. */
export class ImageDownloadFatalError extends ImageDownloadError {
  override readonly type = "ImageDownloadFatalError";
}

/** The place the image is to be stored at is too small; retrying does not help. */
export class ImageDownloadOutOfSpaceError extends ImageDownloadError {
  override readonly type = "ImageDownloadOutofSpaceError";
}

export class ImageDownloadTimeoutError extends ImageDownloadError {
  override readonly type = "ImageDownloadTimeoutError";
  override readonly code = 408;
  override readonly summary = "Image download timeout";
}

export class ImageChecksumError extends RestError {
  override readonly type = "ImageChecksumError";
  override readonly summary = "Error verifying image checksum";
  /** The digest of what came, to tell a flipped bit from an image that is simply another one. */
  readonly actual: string;

  constructor(imageId: string, location: string, expected: string, actual: string) {
    super(
      `Image failed to verify against checksum. location: ${location}; image ID: ${imageId}; ` +
        `image checksum: ${expected}; verification checksum: ${actual}`,
    );
    this.actual = actual;
  }
}

export class ImageWriteError extends RestError {
  override readonly type = "ImageWriteError";
  override readonly summary = "Error writing image to device";
}

/** The reference sends the same text as message and details. */
export class FileSystemNotSupported extends RestError {
  override readonly type = "FileSystemNotSupported";
  override readonly summary: string;

  constructor(fileSystem: string, options?: ErrorOptions) {
    const text = `Failed to create a file system. File system ${fileSystem} is not supported.`;
    super(text, options);
    this.summary = text;
  }
}

export class InvalidImage extends DeploymentError {
  override readonly type = "InvalidImage";
  override readonly summary = "The provided image is not valid for use";
}

// --- The machine ---

export class SystemRebootError extends RestError {
  override readonly type = "SystemRebootError";
  override readonly summary = "Error rebooting system";
}

export class ClockSyncError extends RestError {
  override readonly type = "ClockSyncError";
  override readonly summary = "Error syncing system clock";
}

/** A disk could not be offered over iSCSI, or taken back. */
export class ISCSIError extends RestError {
  override readonly type: string = "ISCSIError";
  override readonly summary = "Error starting iSCSI target";

  constructor(reason: string, options?: ErrorOptions) {
    super(`Error starting iSCSI target: ${reason}`, options);
  }
}

/** The same, where a program said so. */
export class ISCSICommandError extends ISCSIError {
  override readonly type = "ISCSICommandError";

  /** @param ending the exit code, or how else the program ended */
  constructor(
    reason: string,
    ending: { readonly exitCode: number | null; readonly stdout: string; readonly stderr: string },
    options?: ErrorOptions,
  ) {
    const { exitCode, stdout, stderr } = ending;
    super(
      `${reason}. Failed with exit code ${exitCode ?? "unknown"}. stdout: ${stdout}. stderr: ${stderr}`,
      options,
    );
  }
}

/** Refused because it would destroy data of the machine the agent itself runs from. */
export class HostDiskError extends RestError {
  override readonly type = "HostDiskError";
  override readonly summary = "Refusing to touch a disk of the running system";
}

/** Wraps whatever was thrown: errors of the API keep their type, the rest become CommandExecutionError. */
export function asRestError(thrown: unknown): RestError {
  if (thrown instanceof RestError) return thrown;
  return new CommandExecutionError(errorText(thrown), { cause: thrown });
}

/** One line for logs and details: the API's text form, or the plain message of a foreign error. */
export function errorText(thrown: unknown): string {
  if (thrown instanceof RestError) return thrown.toString();
  return thrown instanceof Error ? thrown.message : String(thrown);
}
