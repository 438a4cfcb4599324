// Ironic's configuration file for the rig: one process without authentication, SQLite, the BMC by ipmitool, booting by iPXE.
// Everything that is not said here is Ironic's default, because the defaults are what agents meet in the field.

import { join } from "node:path";

/** Sections of an oslo.config file: section, option, value. */
export type Configuration = Readonly<Record<string, Readonly<Record<string, string | number | boolean>>>>;

export interface Paths {
  database: string;
  /** Where Ironic writes boot scripts and links the kernel and the ramdisk to. */
  httpRoot: string;
  tftpRoot: string;
  images: string;
  /** Archives with the ramdisk's logs, fetched from the agent at the end of each operation. */
  ramdiskLogs: string;
  /** The directories that `file://` kernels and ramdisks come from. */
  bootFiles: readonly string[];
  /** Certificates that agents announced. */
  certificates: string;
  state: string;
}

export const API_PORT = 6385;
export const INSPECTOR_PORT = 5050;

const CALLBACK_TIMEOUT_S = 900;

export function pathsIn(directory: string, bootFiles: readonly string[]): Paths {
  return {
    database: join(directory, "ironic.sqlite"),
    httpRoot: join(directory, "http"),
    tftpRoot: join(directory, "tftp"),
    images: join(directory, "images"),
    ramdiskLogs: join(directory, "ramdisk-logs"),
    bootFiles,
    certificates: join(directory, "certificates"),
    state: join(directory, "state"),
  };
}

/** What the rig needs, with `address` as the one address that everything listens on. */
export function baseConfiguration(address: string, paths: Paths): Configuration {
  const api = `http://${address}:${API_PORT}`;
  return {
    DEFAULT: {
      auth_strategy: "noauth",
      rpc_transport: "json-rpc",
      host: "rig",
      my_ip: address,
      debug: true,
      use_stderr: true,
      state_path: paths.state,
      enabled_hardware_types: "ipmi",
      enabled_bios_interfaces: "no-bios",
      enabled_boot_interfaces: "ipxe",
      enabled_console_interfaces: "no-console",
      enabled_deploy_interfaces: "direct",
      enabled_inspect_interfaces: "inspector,no-inspect",
      enabled_management_interfaces: "ipmitool",
      enabled_network_interfaces: "noop",
      enabled_power_interfaces: "ipmitool",
      enabled_raid_interfaces: "agent,no-raid",
      enabled_rescue_interfaces: "agent,no-rescue",
      enabled_storage_interfaces: "noop",
      enabled_vendor_interfaces: "ipmitool,no-vendor",
      default_raid_interface: "agent",
      default_rescue_interface: "agent",
    },
    api: { host_ip: address, port: API_PORT },
    json_rpc: { auth_strategy: "noauth", host_ip: "127.0.0.1" },
    database: { connection: `sqlite:///${paths.database}` },
    dhcp: { dhcp_provider: "none" },
    service_catalog: { auth_type: "none", endpoint_override: api },
    conductor: {
      force_power_state_during_sync: false,
      deploy_callback_timeout: CALLBACK_TIMEOUT_S,
      clean_callback_timeout: CALLBACK_TIMEOUT_S,
      rescue_callback_timeout: CALLBACK_TIMEOUT_S,
      file_url_allowed_paths: paths.bootFiles.join(","),
    },
    deploy: {
      http_url: `http://${address}:8080`,
      http_root: paths.httpRoot,
      default_boot_option: "local",
      // Erasing whole disks is for scenarios of its own; wiping metadata is what operators run by default.
      erase_devices_priority: 0,
      erase_devices_metadata_priority: 10,
    },
    agent: {
      certificates_path: paths.certificates,
      image_download_source: "http",
      stream_raw_images: true,
      deploy_logs_collect: "always",
      deploy_logs_storage_backend: "local",
      deploy_logs_local_path: paths.ramdiskLogs,
      // The same total as the default (7 times 5 s), looked at more often.
      post_deploy_get_power_state_retries: 35,
      post_deploy_get_power_state_retry_interval: 1,
    },
    inspector: {
      auth_type: "none",
      endpoint_override: `http://${address}:${INSPECTOR_PORT}`,
      // Ironic boots the ramdisk and switches the machine off afterwards; inspector takes the data.
      require_managed_boot: true,
      // A minute otherwise, which nobody learns from.
      status_check_period: 10,
    },
    ipmi: {
      min_command_interval: 1,
      // The simulator of a BMC asks a program, which takes its time on a machine that is busy: once a second for a minute.
      use_ipmitool_retries: true,
      command_retry_timeout: 60,
    },
    pxe: {
      tftp_root: paths.tftpRoot,
      tftp_master_path: join(paths.tftpRoot, "master"),
      images_path: paths.images,
      instance_master_path: join(paths.images, "master"),
      // Without no_timer_check the kernel panics when a loaded machine lets the emulated timer wait.
      kernel_append_params:
        "nofb nomodeset vga=normal console=ttyS0 no_timer_check rig.shell=1 rig.restart_delay=5",
    },
  };
}

/** Later sections win, option by option. */
export function merged(base: Configuration, changes: Configuration): Configuration {
  const result: Record<string, Record<string, string | number | boolean>> = {};
  for (const layer of [base, changes]) {
    for (const [section, options] of Object.entries(layer)) {
      result[section] = { ...result[section], ...options };
    }
  }
  return result;
}

export function configurationText(configuration: Configuration): string {
  return Object.entries(configuration)
    .map(([section, options]) => {
      const lines = Object.entries(options).map(([name, value]) => `${name} = ${value}`);
      return `[${section}]\n${lines.join("\n")}\n`;
    })
    .join("\n");
}
