import { describe, expect, test } from "bun:test";
import * as errors from "../../src/errors.ts";
import { failure, success } from "../../src/extensions/outcome.ts";

const DEFAULT = "An unexpected error occurred. Please try back later.";

// Type, code and message as in control-plane specification 4.6.
const CLASSES: readonly [errors.RestError, string, number, string, string?][] = [
  [new errors.RestError(), "RESTError", 500, "An error occurred", DEFAULT],
  [new errors.InvalidContentError("d"), "InvalidContentError", 400, "Invalid request body"],
  [new errors.InvalidCommandError("d"), "InvalidCommandError", 400, "Invalid command"],
  [new errors.InvalidCommandParamsError("d"), "InvalidCommandParamsError", 400, "Invalid command parameters"],
  [
    new errors.RequestedObjectNotFoundError("Extension", "x"),
    "RequestedObjectNotFoundError",
    404,
    "Not found",
    "Extension with id x not found.",
  ],
  [
    new errors.DeviceNotFound("d"),
    "DeviceNotFound",
    404,
    "Error finding the disk or partition device to deploy the image onto",
  ],
  [new errors.CommandExecutionError("d"), "CommandExecutionError", 500, "Command execution failed"],
  [new errors.AgentIsBusy("sync"), "AgentIsBusy", 409, "Agent is busy", "executing command sync"],
  [
    new errors.VersionMismatch({ a: "1" }, { a: "2", b: null }),
    "VersionMismatch",
    409,
    "Hardware managers version mismatch, reload agent with correct version",
    "Current versions: {'a': '1'}, versions used by ironic: {'a': '2', 'b': None}",
  ],
  [new errors.IronicApiError("d"), "IronicAPIError", 500, "Error in call to ironic-api"],
  [new errors.HeartbeatError("d"), "HeartbeatError", 500, "Error heartbeating to agent API"],
  [
    new errors.HeartbeatConflictError("d"),
    "HeartbeatConflictError",
    500,
    "ConflictError heartbeating to agent API",
  ],
  [
    new errors.HeartbeatConnectionError("d"),
    "HeartbeatConnectionError",
    500,
    "Error attempting to heartbeat - Possible transitory network failure or blocking port may be present.",
  ],
  [new errors.LookupNodeError("d"), "LookupNodeError", 500, "Error getting configuration from Ironic"],
  [new errors.LookupAgentIPError("d"), "LookupAgentIPError", 500, "Error finding IP for Ironic Agent"],
  [
    new errors.ImageDownloadError("i", "refused"),
    "ImageDownloadError",
    500,
    "Error downloading image",
    "Download of image i failed: refused",
  ],
  [
    new errors.ImageDownloadTimeoutError("i", "slow"),
    "ImageDownloadTimeoutError",
    408,
    "Image download timeout",
    "Download of image i failed: slow",
  ],
  [
    new errors.ImageChecksumError("i", "/dev/sda", "aa", "bb"),
    "ImageChecksumError",
    500,
    "Error verifying image checksum",
    "Image failed to verify against checksum. location: /dev/sda; image ID: i; image checksum: aa; verification checksum: bb",
  ],
  [new errors.ImageWriteError("d"), "ImageWriteError", 500, "Error writing image to device"],
  [new errors.SystemRebootError("d"), "SystemRebootError", 500, "Error rebooting system"],
  [new errors.BlockDeviceError("d"), "BlockDeviceError", 500, "Block device caused unknown error"],
  [
    new errors.UnknownNodeError(),
    "UnknownNodeError",
    500,
    "Agent is not associated with an Ironic node",
    DEFAULT,
  ],
  [
    new errors.HardwareManagerNotFound(),
    "HardwareManagerNotFound",
    500,
    "No valid HardwareManager found",
    DEFAULT,
  ],
  [
    new errors.HardwareManagerMethodNotFound("erase"),
    "HardwareManagerMethodNotFound",
    500,
    "No HardwareManager found to handle method",
    "Could not find method: erase",
  ],
  [
    new errors.IncompatibleHardwareMethodError(),
    "IncompatibleHardwareMethodError",
    500,
    "HardwareManager method is not compatible with hardware",
    DEFAULT,
  ],
  [new errors.CleaningError("d"), "CleaningError", 500, "Clean step failed"],
  [new errors.DeploymentError("d"), "DeploymentError", 500, "Deploy step failed"],
  [new errors.ServicingError("d"), "ServicingError", 500, "Service step failed"],
  [new errors.ClockSyncError("d"), "ClockSyncError", 500, "Error syncing system clock"],
  [new errors.InvalidImage("d"), "InvalidImage", 500, "The provided image is not valid for use"],
  [new errors.BlockDeviceEraseError("d"), "BlockDeviceEraseError", 500, "Error erasing block device"],
  [
    new errors.IncompatibleNumaFormatError("d"),
    "IncompatibleNumaFormatError",
    500,
    "Error in NUMA node data format",
  ],
  [
    new errors.ContainerNotPermittedError("evil"),
    "ContainerNotPermittedError",
    500,
    "Container image not permitted",
    "Container image evil is not in [container]allowed_containers and [container]allow_arbitrary_containers is not enabled.",
  ],
  [
    new errors.ServiceLookupFailure("baremetal", "nobody answered"),
    "ServiceLookupFailure",
    500,
    "Cannot find baremetal service through multicast",
    "nobody answered",
  ],
  [
    new errors.ISCSIError("Failed to create a target: busy"),
    "ISCSIError",
    500,
    "Error starting iSCSI target",
    "Error starting iSCSI target: Failed to create a target: busy",
  ],
  [
    new errors.ISCSICommandError("No daemon", { exitCode: 1, stdout: "o", stderr: "e" }),
    "ISCSICommandError",
    500,
    "Error starting iSCSI target",
    "Error starting iSCSI target: No daemon. Failed with exit code 1. stdout: o. stderr: e",
  ],
  [new errors.SoftwareRAIDError("d"), "SoftwareRAIDError", 500, "Software RAID caused unknown error"],
  [
    new errors.HardwareManagerConfigurationError("d"),
    "HardwareManagerConfigurationError",
    500,
    "Hardware manager configuration error",
  ],
  [
    new errors.ImageDownloadFatalError("i", "404"),
    "ImageDownloadFatalError",
    500,
    "Error downloading image",
    "Download of image i failed: 404",
  ],
  [
    new errors.ImageDownloadOutOfSpaceError("i", "too large"),
    "ImageDownloadOutofSpaceError",
    500,
    "Error downloading image",
    "Download of image i failed: too large",
  ],
  [
    new errors.FileSystemNotSupported("zfs"),
    "FileSystemNotSupported",
    500,
    "Failed to create a file system. File system zfs is not supported.",
    "Failed to create a file system. File system zfs is not supported.",
  ],
];

// control-plane 11.41
describe("failures on the wire", () => {
  // Not as a table of tests: the runner takes an Error in a row for a failure.
  for (const [error, type, code, message, details = "d"] of CLASSES)
    test(type, () => {
      expect(failure(error)).toEqual({
        command_status: type === "VersionMismatch" ? "CLEAN_VERSION_MISMATCH" : "FAILED",
        command_error: { type, code, message, details },
        command_result: null,
      });
      expect(String(error)).toBe(`${message}: ${details}`);
    });

  test("a protected device says the same as message and as details, and how to go on", () => {
    const error = failure(new errors.ProtectedDeviceError("/dev/sda", "VMFS volume")).command_error;
    expect(error).toMatchObject({ type: "ProtectedDeviceError", code: 500, message: error?.details });
    expect(error?.details).toStartWith("Protected VMFS volume located on device /dev/sda. ");
    expect(error?.details).toContain("guard_special_filesystems");
  });

  test("no text is no details: the reference's words take their place", () => {
    for (const thrown of [new Error(""), new errors.CleaningError("")])
      expect(failure(thrown).command_error?.details).toBe(DEFAULT);
  });

  test("anything else is a CommandExecutionError", () => {
    for (const thrown of [new TypeError("x is null"), "x is null"])
      expect(failure(thrown).command_error).toEqual({
        type: "CommandExecutionError",
        code: 500,
        message: "Command execution failed",
        details: "x is null",
      });
  });
});

test("a secret in the details of a failure does not reach Ironic", () => {
  const details = failure(new Error("curl http://user:S3CRET@host/ --agent_token S3CRET exit code 22"))
    .command_error?.details;
  expect(details).toBe("curl http://******@host/ --agent_token ****** exit code 22");
});

describe("results on the wire", () => {
  test.each([
    ["sync", "text", { result: "text" }],
    ["async", "text", { result: "prepare_image: text" }],
    ["async", "", { result: "prepare_image: " }],
    ["async", { result: "text" }, { result: "text" }],
    ["async", ["out", "err"], ["out", "err"]],
    ["async", 0, 0],
    ["sync", undefined, null],
  ] as const)("%s %j", (kind, value, command_result) => {
    expect(success(kind, "prepare_image", value)).toEqual({
      command_status: "SUCCEEDED",
      command_error: null,
      command_result: command_result as never,
    });
  });
});

test("details that a program printed are printable: Ironic shows them to an operator as its last error", () => {
  const { command_error } = failure(new errors.CommandExecutionError("flash: \x1b[31mbad\x00"));
  expect(command_error?.details).toBe("flash: \\x1b[31mbad\\x00");
});
