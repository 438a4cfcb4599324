// The programs the agent uses when a ramdisk has them: every one is optional, and what is off without it is said at start and by
// `ironic-python-agent check`. Sources: hardware specification 12, deploy specification 9.

import type { FindProgram } from "../system/programs.ts";
import type { System } from "../system/system.ts";

export type OptionalProgram = {
  readonly program: string;
  /** Debian's package. */
  readonly package: string;
  /** What does not work without it: completes "without it, …". */
  readonly without: string;
};

export const OPTIONAL_PROGRAMS: readonly OptionalProgram[] = [
  {
    program: "lsblk",
    package: "util-linux",
    without: "no disk is found: nothing can be deployed or cleaned",
  },
  { program: "lscpu", package: "util-linux", without: "the inventory cannot describe the CPU" },
  { program: "blkid", package: "util-linux", without: "file systems and partitions have no UUIDs" },
  { program: "wipefs", package: "util-linux", without: "disk metadata cannot be erased" },
  {
    program: "blockdev",
    package: "util-linux",
    without: "kernel caches of disks are not flushed before power-off",
  },
  { program: "partx", package: "util-linux", without: "new partitions may not be seen when partprobe fails" },
  {
    program: "unshare",
    package: "util-linux",
    without: "GRUB of partition images is not installed: it only runs confined",
  },
  {
    program: "setpriv",
    package: "util-linux",
    without: "GRUB of partition images is not installed: it only runs confined",
  },
  { program: "mkswap", package: "util-linux", without: "partition images with swap cannot be deployed" },
  {
    program: "mount",
    package: "mount",
    without: "config drives, boot loaders and file injection do not work",
  },
  {
    program: "udevadm",
    package: "udev",
    without: "disks have no udev properties, and device links are not waited for",
  },
  { program: "ip", package: "iproute2", without: "addresses are unknown, and VLANs cannot be brought up" },
  { program: "modprobe", package: "kmod", without: "drivers for the BMC are not loaded by the agent" },
  {
    program: "parted",
    package: "parted",
    without: "partition images and config drive partitions cannot be written",
  },
  {
    program: "partprobe",
    package: "parted",
    without: "the kernel is told of new partitions in other, slower ways",
  },
  {
    program: "sgdisk",
    package: "gdisk",
    without: "GPT disks cannot be wiped or given software RAID partitions",
  },
  { program: "mkfs", package: "util-linux", without: "file systems for partition images cannot be made" },
  { program: "mkfs.ext4", package: "e2fsprogs", without: "ephemeral ext4 partitions cannot be made" },
  { program: "mkfs.vfat", package: "dosfstools", without: "EFI system partitions cannot be made" },
  {
    program: "qemu-img",
    package: "qemu-utils",
    without: "only raw images, and qcow2 images from servers that give parts, can be deployed",
  },
  {
    program: "prlimit",
    package: "util-linux",
    without: "images that are neither raw nor written by the agent itself cannot be converted",
  },
  {
    program: "efibootmgr",
    package: "efibootmgr",
    without: "UEFI boot entries cannot be read, set or cleaned",
  },
  { program: "mdadm", package: "mdadm", without: "software RAID is neither assembled, created nor removed" },
  { program: "shred", package: "coreutils", without: "disks without secure erase cannot be erased" },
  { program: "hdparm", package: "hdparm", without: "no ATA secure erase" },
  {
    program: "smartctl",
    package: "smartmontools",
    without:
      "secure erase does not check first, burn-in has no SMART test, and extra-hardware tells no SMART facts",
  },
  { program: "nvme", package: "nvme-cli", without: "no NVMe secure erase" },
  {
    program: "vgchange",
    package: "lvm2",
    without: "volume groups on a disk are not deactivated before it is written",
  },
  {
    program: "dmsetup",
    package: "dmsetup",
    without: "device-mapper devices on a disk are not removed before it is written",
  },
  {
    program: "fuser",
    package: "psmisc",
    without: "programs that still use a disk are not waited for before its metadata is erased",
  },
  { program: "multipath", package: "multipath-tools", without: "multipath disks show as their single paths" },
  {
    program: "iscsistart",
    package: "open-iscsi",
    without: "disks of the boot firmware's iSCSI sessions are not attached",
  },
  {
    program: "tgtd",
    package: "tgt",
    without: "the iscsi deploy interface works with the kernel's own target only (target_core_mod)",
  },
  { program: "ipmitool", package: "ipmitool", without: "the BMC's addresses are unknown" },
  {
    program: "lshw",
    package: "lshw",
    without:
      "memory and vendor come from SMBIOS alone, and the collectors usb-devices and extra-hardware fail",
  },
  { program: "dmidecode", package: "dmidecode", without: "the collector dmi-decode fails" },
  {
    program: "ethtool",
    package: "ethtool",
    without: "the collector extra-hardware tells no pause and offload settings",
  },
  { program: "biosdevname", package: "biosdevname", without: "interfaces have no biosdevname" },
  { program: "chronyd", package: "chrony", without: "ntp_server works with ntpdate only" },
  { program: "ntpdate", package: "ntpsec-ntpdate", without: "ntp_server works with chronyd only" },
  {
    program: "hwclock",
    package: "util-linux-extra",
    without: "the hardware clock is not set before power-off",
  },
  {
    program: "journalctl",
    package: "systemd",
    without: "collected logs hold /var/log instead of the journal",
  },
  { program: "stress-ng", package: "stress-ng", without: "no CPU and memory burn-in" },
  { program: "fio", package: "fio", without: "no disk and network burn-in, and no disk benchmark" },
  { program: "sysbench", package: "sysbench", without: "no processor and memory benchmarks" },
  {
    program: "podman",
    package: "podman",
    without: "container steps work with docker only ([container] runner)",
  },
  {
    program: "docker",
    package: "docker.io",
    without: "container steps work with podman only",
  },
];

/** Those that this machine does not have. */
export function missingPrograms(find: FindProgram): readonly OptionalProgram[] {
  return OPTIONAL_PROGRAMS.filter(({ program }) => find(program) === null);
}

/** One line for the log of a starting agent. */
export function reportMissingPrograms({ findProgram, log }: Pick<System, "findProgram" | "log">): void {
  const missing = missingPrograms(findProgram).map(({ program }) => program);
  if (missing.length > 0)
    log.info(
      `These programs are not installed, and what needs them is off (ironic-python-agent check tells what): ${missing.join(", ")}`,
    );
}
