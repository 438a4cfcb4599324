// Options of partitioning and of the tools that write disks.

import type { OptionTable } from "../option-spec.ts";

export const DISKS = {
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
  "disk_utils.efi_system_partition_size": {
    type: "int",
    default: 550,
    min: 1,
    since: "9.4.2",
    help: "Size in MiB of the EFI system partition of a partition image (200 before release 9).",
  },
  "disk_utils.bios_boot_partition_size": {
    type: "int",
    default: 1,
    min: 1,
    since: "9.4.2",
    help: "Size in MiB of the BIOS boot partition on a GPT disk.",
  },
  "disk_utils.dd_block_size": {
    type: "string",
    default: "1M",
    pattern: /^[1-9]\d{0,15}(c|w|b|kB|K|KiB|MB|M|MiB|GB|G|GiB)?$/,
    form: "a size as dd takes it, such as 1M",
    since: "9.4.2",
    ignored: "images are streamed in blocks of the agent's own, without dd",
    help: "Block size of raw copies.",
  },
  "disk_utils.partition_detection_attempts": {
    type: "int",
    default: 3,
    min: 1,
    since: "9.4.2",
    ignored: "the agent waits until udev has made the partitions",
    help: "Looks for a partition that was just made, one second apart.",
  },
  nvme_sanitize: {
    type: "bool",
    default: false,
    kernel: "ipa-nvme-sanitize",
    since: "own",
    help: "Erase NVMe disks by the Sanitize command, which takes all namespaces, where the controller has it.",
  },
  raid_wait_for_sync: {
    type: "bool",
    default: false,
    kernel: "ipa-raid-wait-for-sync",
    since: "own",
    help: "Let the steps that create software RAID end only when all members of the arrays are in sync.",
  },
} as const satisfies OptionTable;
