// What a plug-in hardware manager imports as "ironic-agent": answered from inside the executable (main.ts), and published as types by
// build.ts. A public interface (docs/hardware-managers.md): it is added to and not changed.

export {
  BlockDeviceEraseError,
  BlockDeviceError,
  CleaningError,
  CommandExecutionError,
  DeploymentError,
  DeviceNotFound,
  HardwareManagerConfigurationError,
  HostDiskError,
  IncompatibleHardwareMethodError,
  InvalidCommandParamsError,
  RestError,
  ServicingError,
} from "./errors.ts";
export type {
  BlockDevice,
  BootInfo,
  Cpu,
  DeviceKind,
  HardwareMethods,
  Inventory,
  InventoryDisk,
  ListedDevice,
  Memory,
  NetworkInterface,
  SystemLogs,
  SystemVendor,
  UsbDevice,
  Work,
} from "./hardware/manager.ts";
export { Support } from "./hardware/manager.ts";
export type {
  PluginConfig,
  PluginContext,
  PluginStep,
  PluginStepContext,
  PluginSystem,
} from "./hardware/plugins/plugin-base.ts";
export { defineStep, HardwareManager, passOn } from "./hardware/plugins/plugin-base.ts";
export type { Json, JsonObject } from "./json.ts";
export type { Counter, Gauge, Metrics, Timer } from "./metrics/metrics.ts";
export type { Progress, ReportProgress } from "./progress.ts";
export { FileError } from "./system/files.ts";
export { HttpError } from "./system/http-client.ts";
export { ProgramFailedError, ProgramMissingError, type ProgramResult } from "./system/programs.ts";
