// The smallest ramdisk that still is a whole agent: of a full tree only the programs that the agent and the ramdisk's own
// scripts call, the libraries these are linked to, the kernel modules of an emulated machine, and what they read.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { librariesOf } from "./elf-libraries.ts";
import { kernelRelease, modulesToKeep, parseModulesDep } from "./kernel-modules.ts";
import { run } from "./programs.ts";

/** By what they are for. No qemu-img, lshw and dmidecode: the agent's own code does for them. */
export const PROGRAMS = {
  disks: [
    "blkid",
    "blockdev",
    "lsblk",
    "partx",
    "parted",
    "partprobe",
    "sgdisk",
    "wipefs",
    "udevadm",
    "fuser",
  ],
  "file systems": ["losetup", "mkfs", "mkfs.ext4", "mkfs.fat", "mkfs.vfat", "mkswap", "mount", "umount"],
  "RAID and LVM": ["dmsetup", "lvm", "mdadm", "mdmon", "pvs", "vgchange"],
  erasing: ["hdparm", "nvme", "shred", "smartctl"],
  "boot loaders": ["efibootmgr", "chroot", "unshare", "prlimit", "setpriv"],
  "machine and network": [
    "hwclock",
    "ip",
    "ipmitool",
    "lscpu",
    "modprobe",
    "kmod",
    "depmod",
    "sync",
    "cp",
    "rm",
  ],
  // bash is what the rig's shell on the second serial port runs.
  "init, rescue, shell": [
    "agetty",
    "getty",
    "bash",
    "busybox",
    "chpasswd",
    "login",
    "setsid",
    "sh",
    "useradd",
  ],
};

const MODULES = {
  directories: ["drivers/virtio", "fs/efivarfs", "fs/ext4", "fs/fat", "fs/isofs"],
  names: [
    ...[
      "virtio_blk",
      "virtio_net",
      "virtio_scsi",
      "virtio_rng",
      "ahci",
      "ata_piix",
      "nvme",
      "sd_mod",
      "sr_mod",
      "sg",
    ],
    ...[
      "crc32c_intel",
      "crc32c_generic",
      "crct10dif_pclmul",
      "aesni_intel",
      "nls_ascii",
      "nls_cp437",
      "nls_iso8859_1",
    ],
    ...["raid0", "raid1", "raid10", "raid456", "dm_mod", "loop", "8021q", "xfs", "nls_utf8"],
    ...["target_core_mod", "target_core_iblock", "iscsi_target_mod"],
    ...[
      "ipmi_si",
      "ipmi_devintf",
      "ipmi_msghandler",
      "rtc_cmos",
      "usb_storage",
      "uas",
      "xhci_pci",
      "ehci_pci",
    ],
  ],
};

/** What the agent's executable is linked to. */
const AGENT_LIBRARIES = ["libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0"];

/** Read by programs that are kept, or by name at run time; patterns of the shell, below the tree. */
const DATA = [
  ...[
    "bin",
    "sbin",
    "lib",
    "lib64",
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "root",
    "mnt",
    "home",
    "var/log",
    "var/cache",
  ],
  ...[
    "etc",
    "init",
    "usr/local/lib/rig",
    "usr/sbin/poweroff",
    "usr/sbin/reboot",
    "usr/lib/systemd/systemd-udevd",
  ],
  ...["usr/lib/udev/*_id", "usr/lib/udev/rules.d", "usr/lib/locale", "usr/lib/modprobe.d"],
  // mkfs.vfat asks for code page 850.
  ...["usr/lib/x86_64-linux-gnu/gconv/IBM850.so", "usr/lib/x86_64-linux-gnu/gconv/gconv-modules*"],
  // A login goes through PAM, and certificates are checked with the system's list.
  ...["usr/lib/x86_64-linux-gnu/security", "usr/share/ca-certificates"],
];

/** Copies from the tree `full` to `target`, which must be empty. */
export async function minimalTree(full: string, target: string): Promise<void> {
  const programs: string[] = [];
  for (const name of Object.values(PROGRAMS).flat()) programs.push(...(await pathsOf(full, name)));
  const linked = [...programs, "/usr/bin/udevadm", "/usr/lib/systemd/systemd-udevd"];
  const { stdout } = await run(["sh", "-c", "printf '/%s\\n' usr/lib/x86_64-linux-gnu/security/*.so"], {
    cwd: full,
  });
  const libraries = await librariesOf(full, [...linked, ...stdout.trim().split("\n")]);
  const files: string[] = [];
  const agents = AGENT_LIBRARIES.map((name) => `/lib/x86_64-linux-gnu/${name}`);
  for (const path of [...programs, ...libraries, ...agents]) files.push(...(await chainOf(full, path)));
  await mkdir(target, { recursive: true });
  const script =
    'for name in "$@"; do [ ! -e "$name" ] && [ ! -L "$name" ] || cp -a --parents -- "$name" "$0"; done';
  await run(["sh", "-c", `set -- ${DATA.join(" ")} "$@"; ${script}`, target, ...new Set(files)], {
    cwd: full,
  });
  await modules(full, target);
  const applets =
    'for name in $(busybox --list); do command -v "$name" >/dev/null || busybox ln -s busybox "/usr/bin/$name"; done';
  await run(["chroot", target, "sh", "-c", applets]);
}

async function modules(full: string, target: string): Promise<void> {
  const release = await kernelRelease(full);
  const root = `lib/modules/${release}`;
  const dependencies = parseModulesDep(await readFile(join(full, root, "modules.dep"), "utf8"));
  const kept = modulesToKeep(dependencies, MODULES.directories, MODULES.names);
  const index = ["modules.builtin", "modules.builtin.modinfo", "modules.order"];
  const files = [...kept, ...index].map((path) => `usr/${root}/${path}`);
  await run(["cp", "-a", "--parents", ...files, target], { cwd: full });
  await run(["chroot", target, "depmod", release]);
  await writeFile(join(target, "etc/machine-id"), "");
}

/** Where the tree's shell finds a program; none if it has none. */
async function pathsOf(tree: string, program: string): Promise<string[]> {
  const { stdout } = await run(["chroot", tree, "sh", "-c", `command -v ${program} || true`]);
  return stdout.startsWith("/") ? [stdout.trim()] : [];
}

/** A file and, if it is a link, all it leads through, relative to the tree, by their places in /usr. */
async function chainOf(tree: string, path: string): Promise<string[]> {
  const script =
    'p=$1; while :; do d=$(realpath "$(dirname "$p")"); p=$d/$(basename "$p"); echo "$p"; [ -L "$p" ] || break; l=$(readlink "$p"); case $l in /*) p=$l ;; *) p=$d/$l ;; esac; done';
  const { stdout } = await run(["chroot", tree, "sh", "-c", script, "sh", path]);
  return stdout
    .trim()
    .split("\n")
    .map((one) => one.slice(1));
}
