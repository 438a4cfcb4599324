// The ONE table of options. The command line, the INI files, the environment, the kernel line, --help and the
// documentation are all made from it, so an option cannot exist in one of them only.
// Names, types, defaults and kernel parameters are the reference's (control-plane specification 2.6 and 2.7).

import type { OptionSpec, OptionTable, ValueOf } from "./option-spec.ts";

const SERVER = {
  listen_host: {
    type: "string",
    default: "::",
    pattern: /\S/,
    form: "an address",
    kernel: "ipa-listen-host",
    since: "1.0.0",
    help: "Address the API listens on; where IPv6 is turned off the default is 0.0.0.0.",
  },
  listen_port: {
    type: "port",
    default: 9999,
    kernel: "ipa-listen-port",
    since: "1.0.0",
    help: "Port the API listens on; the port in the callback URL is advertise_port.",
  },
  listen_tls: {
    type: "bool",
    default: false,
    since: "6.4.0",
    help: "Serve the API over TLS with tls_cert_file and tls_key_file; turns automatic TLS off.",
  },
  enable_auto_tls: {
    type: "bool",
    default: true,
    since: "6.4.0",
    help: "Make a certificate at start-up, serve the API with it and send it to Ironic.",
  },
  auto_tls_allowed_clock_skew: {
    type: "int",
    default: 3600,
    min: 0,
    since: "6.4.3",
    help: "Seconds by which the start of the automatic certificate lies in the past.",
  },
  tls_cert_file: {
    type: "string",
    default: null,
    since: "11.1.0",
    fileAliases: ["ssl.cert_file", "ssl_cert_file"],
    cliAliases: ["ssl_cert_file"],
    help: "PEM certificate of the API with listen_tls.",
  },
  tls_key_file: {
    type: "string",
    default: null,
    since: "11.1.0",
    fileAliases: ["ssl.key_file", "ssl_key_file"],
    cliAliases: ["ssl_key_file"],
    help: "PEM private key of the API with listen_tls.",
  },
  tls_min_version: {
    type: "string",
    default: "1.2",
    choices: ["1.2", "1.3"],
    kernel: "ipa-tls-min-version",
    since: "11.6.0",
    help: "Oldest TLS version for the API and for every server the agent talks to.",
  },
  tls_cipher_suites: {
    type: "string",
    default: null,
    kernel: "ipa-tls-cipher-suites",
    since: "11.6.0",
    fileAliases: ["ssl.ciphers", "ssl_ciphers"],
    help: "TLS 1.2 cipher suites in OpenSSL's notation, separated by colons; unset, ECDHE with AES-GCM.",
  },
  "ssl.ca_file": {
    type: "string",
    default: null,
    since: "6.4.0",
    fileAliases: ["ssl_ca_file"],
    help: "PEM file with the CAs of client certificates; with it, listen_tls refuses clients without one.",
  },
  "ssl.version": {
    type: "string",
    default: null,
    choices: ["SSLv23", "TLSv1_2", "TLSv1_3"],
    since: "6.4.0",
    fileAliases: ["ssl_version"],
    help: "The only TLS version to serve with listen_tls; SSLv23 means any from tls_min_version on.",
  },
  tls_certificate_curve: {
    type: "string",
    default: "p384",
    choices: ["p256", "p384", "p521"],
    kernel: "ipa-tls-certificate-curve",
    since: "11.6.0",
    help: "Elliptic curve of the automatic certificate.",
  },
  advertise_host: {
    type: "string",
    default: null,
    kernel: "ipa-advertise-host",
    since: "1.0.0",
    help: "Host in the callback URL given to Ironic; unset, the address that reaches Ironic is found out.",
  },
  advertise_port: {
    type: "port",
    default: 9999,
    kernel: "ipa-advertise-port",
    since: "1.0.0",
    help: "Port in the callback URL.",
  },
  advertise_protocol: {
    type: "string",
    default: "http",
    choices: ["http", "https"],
    kernel: "ipa-advertise-protocol",
    since: "6.3.0",
    help: "Scheme of the callback URL; automatic TLS makes it https.",
  },
  network_interface: {
    type: "string",
    default: null,
    kernel: "ipa-network-interface",
    since: "1.0.0",
    help: "Advertise the IPv4 address of this interface instead of the one that routes to Ironic.",
  },
  ip_lookup_attempts: {
    type: "int",
    default: 6,
    min: 1,
    kernel: "ipa-ip-lookup-attempts",
    since: "1.0.0",
    help: "Attempts to find the address to advertise.",
  },
  ip_lookup_sleep: {
    type: "int",
    default: 10,
    min: 0,
    kernel: "ipa-ip-lookup-timeout",
    since: "1.0.0",
    help: "Seconds between those attempts.",
  },
  command_results_token: {
    type: "string",
    default: "auto",
    choices: ["auto", "always", "never"],
    kernel: "ipa-command-results-token",
    since: "own",
    help: "Ask for the agent token when command results are read: auto goes by what the conductor does.",
  },
} as const satisfies OptionTable;

const IRONIC = {
  api_url: {
    type: "string",
    default: null,
    pattern: /^https?:\/\/[^\s,]+(\s*,\s*https?:\/\/[^\s,]+)*$/i,
    form: "one or more http:// or https:// URLs, separated by commas",
    kernel: "ipa-api-url",
    since: "1.0.0",
    help: "URL of the Ironic API; several, separated by commas, are tried in order.",
  },
  global_request_id: {
    type: "string",
    default: null,
    kernel: "ipa-global-request-id",
    since: "6.4.0",
    help: "Request id sent to Ironic as X-OpenStack-Request-ID.",
  },
  lookup_timeout: {
    type: "int",
    default: 300,
    min: 0,
    kernel: "ipa-lookup-timeout",
    since: "1.0.0",
    help: "Seconds to go on trying to look up the node before the agent gives up and exits.",
  },
  lookup_interval: {
    type: "int",
    default: 1,
    min: 0,
    kernel: "ipa-lookup-interval",
    since: "1.0.0",
    help: "Seconds that the longest wait between two lookups starts at.",
  },
  agent_token: {
    type: "string",
    default: null,
    kernel: "ipa-agent-token",
    since: "6.1.0",
    secret: true,
    help: "Agent token given in advance, as conductors do with virtual media.",
  },
  agent_token_required: {
    type: "bool",
    default: false,
    kernel: "ipa-agent-token-required",
    since: "6.1.0",
    help: "Refuse commands without the agent token; Ironic can only turn this on.",
  },
  ironic_api_version: {
    type: "string",
    default: null,
    kernel: "ipa-ironic-api-version",
    since: "6.5.0",
    help: "Version of the Ironic API (such as 1.68) to take as given instead of asking for it.",
  },
  http_request_timeout: {
    type: "int",
    default: 30,
    min: 1,
    kernel: "ipa-http-request-timeout",
    since: "9.6.0",
    help: "Seconds that one request to Ironic may take.",
  },
  insecure: {
    type: "bool",
    default: false,
    kernel: "ipa-insecure",
    since: "2.0.0",
    help: "Do not verify the certificates of the servers the agent talks to.",
  },
  cafile: {
    type: "string",
    default: null,
    since: "2.0.0",
    help: "PEM file with the CAs that servers are verified with; unset, the system's are used.",
  },
  certfile: {
    type: "string",
    default: null,
    since: "2.0.0",
    help: "PEM client certificate shown to servers; needs keyfile.",
  },
  keyfile: {
    type: "string",
    default: null,
    since: "2.0.0",
    help: "PEM private key of certfile.",
  },
  standalone: {
    type: "bool",
    default: false,
    kernel: "ipa-standalone",
    since: "1.0.0",
    help: "Serve the API without ever calling Ironic.",
  },
} as const satisfies OptionTable;

const HARDWARE = {
  hardware_initialization_delay: {
    type: "int",
    default: 0,
    min: 0,
    kernel: "ipa-hardware-initialization-delay",
    since: "1.3.0",
    help: "Seconds to wait after the hardware managers are loaded.",
  },
  disk_wait_attempts: {
    type: "int",
    default: 10,
    min: 0,
    kernel: "ipa-disk-wait-attempts",
    since: "1.4.0",
    help: "Attempts to see the root disk at start-up; 0 does not wait for one.",
  },
  disk_wait_delay: {
    type: "int",
    default: 3,
    min: 0,
    kernel: "ipa-disk-wait-delay",
    since: "1.4.0",
    help: "Seconds between those attempts.",
  },
  ignore_fa_mac_addresses: {
    type: "bool",
    default: true,
    kernel: "ipa-ignore-fa-mac-addresses",
    since: "own",
    help: "Leave out network interfaces whose MAC address begins with fa, as the newest releases of the reference do.",
  },
  guard_special_filesystems: {
    type: "bool",
    default: true,
    kernel: "ipa-guard-special-filesystems",
    since: "9.0.0",
    fileAliases: ["guard-special-filesystems"],
    help: "Refuse to erase disks with file systems that several machines share (GPFS, VMFS, GFS2).",
  },
  ntp_server: {
    type: "string",
    default: null,
    kernel: "ipa-ntp-server",
    since: "6.1.0",
    help: "Time server to set the clock by when the agent starts.",
  },
  fail_if_clock_not_set: {
    type: "bool",
    default: false,
    since: "6.1.0",
    help: "Treat it as an error when the clock cannot be set.",
  },
  ignore_bootloader_failure: {
    type: "bool",
    default: null,
    kernel: "ipa-ignore-bootloader-failure",
    since: "6.1.2",
    help: "Go on when the UEFI boot entry cannot be made; unset, the command decides.",
  },
  allow_host_disks: {
    type: "bool",
    default: false,
    since: "own",
    help: "DANGER: let destructive operations run on a machine that was not booted from a ramdisk.",
  },
} as const satisfies OptionTable;

const IMAGES = {
  image_download_connection_timeout: {
    type: "int",
    default: 60,
    min: 1,
    kernel: "ipa-image-download-connection-timeout",
    since: "5.0.2",
    help: "Seconds to connect to an image server, and of its silence before the connection counts as lost.",
  },
  image_download_connection_retries: {
    type: "int",
    default: 9,
    min: 0,
    kernel: "ipa-image-download-connection-retries",
    since: "5.0.2",
    help: "Further attempts after a failed image download.",
  },
  image_download_connection_retry_interval: {
    type: "int",
    default: 10,
    min: 0,
    kernel: "ipa-image-download-connection-retry-interval",
    since: "5.0.2",
    help: "Seconds between those attempts.",
  },
  image_download_max_duration: {
    type: "int",
    default: 0,
    min: 0,
    kernel: "ipa-image-download-max-duration",
    since: "11.2.0",
    help: "Seconds that a whole image download may take, attempts included; 0 is no limit.",
  },
  image_server_user: {
    type: "string",
    default: null,
    since: "9.8.0",
    help: "User name for the image server; one that comes with the image wins.",
  },
  image_server_password: {
    type: "string",
    default: null,
    since: "9.8.0",
    secret: true,
    help: "Password for the image server; one that comes with the image wins.",
  },
  image_server_auth_strategy: {
    type: "string",
    default: "noauth",
    choices: ["noauth", "http_basic"],
    since: "9.8.0",
    help: "How to log in to the image server; http_basic makes user and password mandatory.",
  },
  image_hash_engine: {
    type: "string",
    default: "auto",
    choices: ["auto", "noble", "native"],
    kernel: "ipa-image-hash-engine",
    since: "own",
    help: "What computes image checksums: auto starts both engines and goes on with the native one if they agree.",
  },
  md5_enabled: {
    type: "bool",
    default: true,
    since: "9.5.0",
    help: "Accept MD5 checksums of images.",
  },
  disable_deep_image_inspection: {
    type: "bool",
    default: false,
    since: "9.4.2",
    help: "Skip the safety checks of the image's format.",
  },
  permitted_image_formats: {
    type: "list",
    default: ["raw", "gpt", "qcow2"],
    since: "9.4.2",
    help: "Image formats that may be written.",
  },
} as const satisfies OptionTable;

const DISKS = {
  "disk_partitioner.check_device_interval": {
    type: "int",
    default: 1,
    min: 0,
    since: "6.1.0",
    help: "Seconds between two looks at whether an erased disk is still in use.",
  },
  "disk_partitioner.check_device_max_retries": {
    type: "int",
    default: 20,
    min: 1,
    since: "6.1.0",
    help: "Looks before a disk in use is an error.",
  },
  "disk_utils.partprobe_attempts": {
    type: "int",
    default: 10,
    min: 1,
    since: "9.4.2",
    help: "Attempts to make the kernel read a new partition table.",
  },
  "disk_utils.image_convert_memory_limit": {
    type: "int",
    default: 2048,
    min: 1,
    since: "9.4.2",
    help: "Memory limit of qemu-img in MiB.",
  },
  "disk_utils.image_convert_attempts": {
    type: "int",
    default: 3,
    min: 1,
    since: "9.4.2",
    help: "Attempts to convert an image.",
  },
} as const satisfies OptionTable;

const LOG = {
  debug: {
    type: "bool",
    default: false,
    short: "d",
    since: "1.0.0",
    help: "Log at level DEBUG; the kernel parameter ipa-debug beats this in both directions.",
  },
  log_file: {
    type: "string",
    default: null,
    since: "1.0.0",
    cliAliases: ["logfile"],
    fileAliases: ["log-file"],
    help: "Append the log to this file (relative to log_dir) instead of standard output.",
  },
  log_dir: {
    type: "string",
    default: null,
    since: "1.0.0",
    cliAliases: ["logdir"],
    fileAliases: ["log-dir"],
    help: "Directory of the log file; alone it means ironic-python-agent.log in it.",
  },
  use_json: {
    type: "bool",
    default: false,
    since: "1.0.0",
    fileAliases: ["use-json"],
    help: "Log one JSON object per line.",
  },
} as const satisfies OptionTable;

/** Every option: `name` in [DEFAULT] and on the command line, `group.name` in files and the environment only. */
export const OPTIONS = { ...SERVER, ...IRONIC, ...HARDWARE, ...IMAGES, ...DISKS, ...LOG };

/** The table in the order people read it. */
export const OPTION_SECTIONS: readonly { readonly title: string; readonly options: OptionTable }[] = [
  { title: "API server and advertised address", options: SERVER },
  { title: "Ironic", options: IRONIC },
  { title: "Hardware", options: HARDWARE },
  { title: "Images", options: IMAGES },
  { title: "Disks", options: DISKS },
  { title: "Log", options: LOG },
];

export type OptionName = keyof typeof OPTIONS;
export type OptionValue<N extends OptionName> = ValueOf<(typeof OPTIONS)[N]>;
export type OptionValues = { readonly [N in OptionName]: OptionValue<N> };

/** All names in table order. */
export const OPTION_NAMES = Object.keys(OPTIONS) as OptionName[];

/** The entry of an option, with the general type. */
export function optionSpec(name: OptionName): OptionSpec {
  return OPTIONS[name];
}

/** `[group]` of an option and its name inside it. */
export function splitName(name: OptionName): { group: string; key: string } {
  const dot = name.indexOf(".");
  return dot < 0 ? { group: "DEFAULT", key: name } : { group: name.slice(0, dot), key: name.slice(dot + 1) };
}
