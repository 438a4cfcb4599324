// Options of downloading, checking and writing images.

import type { OptionTable } from "../option-spec.ts";

export const IMAGES = {
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
  stream_qcow2_images: {
    type: "bool",
    default: true,
    kernel: "ipa-stream-qcow2-images",
    since: "own",
    help: "Write qcow2 images while they are downloaded, from servers that give parts of a file; else by way of a copy in memory.",
  },
  unpack_raw_images: {
    type: "bool",
    default: true,
    kernel: "ipa-unpack-raw-images",
    since: "own",
    help: "Unpack raw images that come packed with gzip, zstd or xz while they are written; false writes the packed bytes.",
  },
  verify_written_image: {
    type: "bool",
    default: false,
    kernel: "ipa-verify-written-image",
    since: "own",
    help: "Read everything that was written of an image back from the disk and compare it, which about doubles the time.",
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
  config_drive_rebuild: {
    type: "bool",
    default: false,
    since: "9.1.1",
    help: "Always copy the config drive into a new FAT file system instead of writing it as it came.",
  },
  disable_bootc_deploy: {
    type: "bool",
    default: false,
    since: "10.2.0",
    notYet: "bootable containers cannot be installed yet",
    help: "Refuse to install bootable containers (execute_bootc_install).",
  },
  enable_bios_bootloader_install: {
    type: "bool",
    default: null,
    since: "10.2.3",
    help:
      "Allow running grub-install out of a partition image on machines that boot with BIOS. What Ironic says counts more; with auto, or " +
      "not set, a release that says nothing allows it.",
  },
} as const satisfies OptionTable;
