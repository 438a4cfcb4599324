// The conductor's options with Ironic's own defaults, so that a test that changes none sees Ironic's timing.

import type { JsonObject } from "../../src/json.ts";

export interface ConductorSettings {
  /** `[api]ramdisk_heartbeat_timeout`, seconds: agents heartbeat at 0.3 to 0.6 of it. */
  heartbeatTimeout: number;
  /** `[agent]require_tls`. */
  requireTls: boolean;
  /** Highest microversion that the API offers. */
  apiVersion: string;
  /** Further members of the lookup's `config`. */
  lookupConfig: JsonObject;
  /** `[iscsi]portal_port`. */
  iscsiPortalPort: number;
  /** `[agent]command_timeout`, milliseconds. */
  commandTimeout: number;
  /** `[agent]max_command_attempts`. */
  maxCommandAttempts: number;
  /** `[agent]command_wait_interval`, milliseconds between two looks at install_bootloader. */
  commandWaitInterval: number;
  /** `[agent]command_wait_attempts`. */
  commandWaitAttempts: number;
  /** `[agent]post_deploy_get_power_state_retry_interval`, milliseconds. */
  powerOffInterval: number;
  /** `[agent]post_deploy_get_power_state_retries`. */
  powerOffAttempts: number;
  /** `[conductor]deploy_callback_timeout` and `clean_callback_timeout`, milliseconds since the last processed heartbeat. */
  callbackTimeout: number;
  /** Whether GET requests carry the token, as from Ironic 2025.1 on. */
  tokenOnGet: boolean;
  /** `[agent]deploy_logs_collect`: when the ramdisk's logs are fetched. */
  deployLogsCollect: "always" | "on_failure" | "never";
  /** `[deploy]erase_devices_priority` and its relatives: overrides by step name. */
  cleanStepPriorities: Readonly<Record<string, number>>;
  /** `[pxe]kernel_append_params`, words. */
  kernelParameters: readonly string[];
  /** Milliseconds between two looks at the progress of a running step, for observers only; 0 looks never. */
  progressInterval: number;
}

export const DEFAULT_SETTINGS: ConductorSettings = {
  heartbeatTimeout: 300,
  requireTls: false,
  apiVersion: "1.82",
  lookupConfig: {},
  iscsiPortalPort: 3260,
  commandTimeout: 60_000,
  maxCommandAttempts: 3,
  commandWaitInterval: 6000,
  commandWaitAttempts: 100,
  powerOffInterval: 5000,
  powerOffAttempts: 7,
  callbackTimeout: 1_800_000,
  tokenOnGet: false,
  deployLogsCollect: "on_failure",
  cleanStepPriorities: {},
  kernelParameters: ["nofb", "nomodeset", "vga=normal"],
  progressInterval: 1000,
};
