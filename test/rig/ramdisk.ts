// The real ramdisk: kernel and initial ram file system from Debian's packages, in which the agent's executable is the
// only program of ours. It comes in two layers, because they change at different speeds: the base (packages, a minute)
// is cached, the agent is a second archive appended to it (a second). Nothing is compressed: under emulation unpacking
// costs more than loading. The minimal one, which the demo boots, is compressed: there the size counts.

import { copyFile, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cached, cacheKey } from "./cache.ts";
import { cpioArchive } from "./cpio.ts";
import { debianTree, SUITE } from "./debian.ts";
import { kernelRelease, trimKernelModules } from "./kernel-modules.ts";
import { minimalTree } from "./minimal-tree.ts";
import { run } from "./programs.ts";

/** What the agent calls, and a busybox for DHCP, for the login of a rescue and for people with the shell. */
const PACKAGES = [
  "linux-image-amd64",
  "udev",
  "kmod",
  "busybox",
  "ca-certificates",
  "iproute2",
  "ethtool",
  "util-linux",
  "util-linux-extra",
  "parted",
  "gdisk",
  "qemu-utils",
  "e2fsprogs",
  "dosfstools",
  "lvm2",
  "mdadm",
  "multipath-tools",
  "lshw",
  "dmidecode",
  "pciutils",
  "ipmitool",
  "hdparm",
  "nvme-cli",
  "smartmontools",
  "efibootmgr",
  "psmisc",
  "open-iscsi",
  "tgt",
];

/** Not needed once everything is installed; shell patterns. */
const REMOVED = [
  "boot",
  "vmlinuz",
  "vmlinuz.old",
  "initrd.img",
  "initrd.img.old",
  "etc/apt",
  "etc/initramfs-tools",
  "usr/bin/perl*",
  "usr/lib/apt",
  "usr/lib/file",
  "usr/lib/dpkg",
  "usr/lib/x86_64-linux-gnu/libapt-*",
  "usr/lib/x86_64-linux-gnu/libperl*",
  "usr/lib/x86_64-linux-gnu/perl*",
  // mkfs.vfat and fsck.vfat ask for code page 850.
  "usr/lib/x86_64-linux-gnu/gconv/[!gI]*.so",
  "usr/lib/x86_64-linux-gnu/gconv/I[!B]*.so",
  "usr/share/initramfs-tools",
  "usr/share/perl*",
  "usr/share/zoneinfo",
  "usr/bin/apt*",
  "usr/bin/dpkg*",
  // Of qemu-utils the agent calls qemu-img.
  "usr/bin/qemu-io",
  "usr/bin/qemu-nbd",
  "usr/bin/systemd-hwdb",
  "usr/lib/udev/hwdb.d",
  "var/cache",
  "var/lib/apt",
  "var/lib/dpkg",
  "var/log",
];

const FILES = [
  { source: "init", target: "init", mode: 0o755 },
  { source: "udhcpc", target: "usr/local/lib/rig/udhcpc", mode: 0o755 },
  { source: "rescue", target: "usr/local/lib/rig/rescue", mode: 0o755 },
  { source: "halt", target: "usr/sbin/poweroff", mode: 0o755 },
  { source: "halt", target: "usr/sbin/reboot", mode: 0o755 },
];

/** What packages leave out or REMOVED took away. */
const DIRECTORIES = [
  "var/log",
  "var/cache",
  "etc/ironic-python-agent.d/hardware-managers",
  "etc/ipa-rescue-config",
];

/** Of Zstandard, for the agent: 19 would save a tenth and take a minute at every run. */
const AGENT_LEVEL = 9;

export interface RamdiskBase {
  /** The kernel, to be booted directly or over the network. */
  kernel: string;
  /** The initial ram file system without the agent. */
  base: string;
  /** Whether it is compressed; what is appended to it is then, too. */
  compressed: boolean;
}

export interface BaseOptions {
  /** Builds again even if the cache holds it. */
  fresh?: boolean;
  /** Debian mirror; the one apt uses unless given. */
  mirror?: string;
  /** Told what is being done, one plain line each. */
  report?: (line: string) => void;
  signal?: AbortSignal;
}

/** A file put into the ramdisk beside the agent. */
export interface RamdiskFile {
  /** Absolute path inside the ramdisk; parent directories are made. */
  path: string;
  content: string | Uint8Array;
  /** Permission bits, 0o644 unless given. */
  mode?: number;
}

export interface Ramdisk {
  kernel: string;
  initrd: string;
}

/** Kernel and base archive from Debian's packages, from the cache under .cache/rig when nothing changed. */
export async function ramdiskBase(options: BaseOptions = {}): Promise<RamdiskBase> {
  const sources = FILES.map(({ source }) => join(import.meta.dir, "ramdisk", source));
  const builders = ["ramdisk.ts", "debian.ts", "kernel-modules.ts"].map((name) =>
    join(import.meta.dir, name),
  );
  const key = await cacheKey([SUITE], [...builders, ...sources]);
  const directory = await cached("ramdisk", key, options, async (work, logFile) => {
    options.report?.("building the ramdisk's base from Debian packages");
    await buildBase(work, logFile, options);
  });
  return { kernel: join(directory, "vmlinuz"), base: join(directory, "base.cpio"), compressed: false };
}

/** The same with no more than an agent needs, compressed by Zstandard; made of the other, and cached as that is. */
export async function minimalRamdiskBase(options: BaseOptions = {}): Promise<RamdiskBase> {
  const full = await ramdiskBase(options);
  const builders = ["minimal-tree.ts", "elf-libraries.ts"].map((name) => join(import.meta.dir, name));
  const key = await cacheKey([full.base], builders);
  const directory = await cached("minimal", key, options, async (work) => {
    options.report?.("taking from the ramdisk's base what an agent needs");
    const tree = join(work, "full");
    await mkdir(tree);
    await run(["cpio", "--extract", "--make-directories", "--quiet", "--file", full.base], { cwd: tree });
    await minimalTree(tree, join(work, "tree"));
    await packTree(join(work, "tree"), "../base.cpio");
    await run(["zstd", "-q", "-19", "-T0", "--rm", "base.cpio", "-o", "base.cpio.zst"], { cwd: work });
    for (const name of ["full", "tree"]) await rm(join(work, name), { recursive: true });
  });
  return { kernel: full.kernel, base: join(directory, "base.cpio.zst"), compressed: true };
}

/**
 * Base plus the agent's executable as /usr/local/bin/ironic-python-agent plus `files` (for example
 * /etc/ironic-python-agent.d/demo.conf), written to `output`. Takes a second.
 */
export async function composeRamdisk(
  base: RamdiskBase,
  options: { agent: string; files?: readonly RamdiskFile[]; output: string },
): Promise<Ramdisk> {
  const encoder = new TextEncoder();
  const archive = cpioArchive([
    { path: "/usr/local/bin/ironic-python-agent", content: await readFile(options.agent), mode: 0o755 },
    ...(options.files ?? []).map(({ path, content, mode }) => ({
      path,
      content: typeof content === "string" ? encoder.encode(content) : content,
      mode: mode ?? 0o644,
    })),
  ]);
  await mkdir(dirname(options.output), { recursive: true });
  const unfinished = `${options.output}.unfinished`;
  await copyFile(base.base, unfinished);
  const agent = Buffer.concat(archive);
  if (base.compressed) {
    const { size } = await stat(unfinished);
    // The kernel looks for the next archive on a multiple of four bytes.
    await writeFile(unfinished, Buffer.alloc(-size & 3), { flag: "a" });
  }
  await writeFile(
    unfinished,
    base.compressed ? await Bun.zstdCompress(agent, { level: AGENT_LEVEL }) : agent,
    {
      flag: "a",
    },
  );
  await rename(unfinished, options.output);
  return { kernel: base.kernel, initrd: options.output };
}

async function buildBase(work: string, logFile: string, options: BaseOptions): Promise<void> {
  const tree = join(work, "tree");
  await debianTree({
    packages: PACKAGES,
    directory: tree,
    mirror: options.mirror,
    logFile,
    signal: options.signal,
  });
  const release = await kernelRelease(tree);
  await copyFile(join(tree, "boot", `vmlinuz-${release}`), join(work, "vmlinuz"));
  await trimKernelModules(tree, release);
  await run(["sh", "-c", `rm -rf -- ${REMOVED.join(" ")}`], { cwd: tree });
  await linkBusyboxApplets(tree);
  for (const { source, target, mode } of FILES) {
    await mkdir(dirname(join(tree, target)), { recursive: true });
    await writeFile(join(tree, target), await readFile(join(import.meta.dir, "ramdisk", source)), { mode });
  }
  for (const directory of DIRECTORIES) {
    await mkdir(join(tree, directory), { recursive: true });
  }
  await packTree(tree, "../base.cpio");
  await rm(tree, { recursive: true });
}

/** `archive` is relative to the tree. */
async function packTree(tree: string, archive: string): Promise<void> {
  await run(
    [
      "sh",
      "-c",
      'find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio --null --create --reproducible --quiet -H newc -F "$1"',
      "sh",
      archive,
    ],
    { cwd: tree },
  );
}

/** Gives people with the shell the usual tools (vi, ps, less …) where no package brought them. */
async function linkBusyboxApplets(tree: string): Promise<void> {
  const { stdout } = await run(["chroot", tree, "busybox", "--list"]);
  const script = 'for name; do command -v "$name" >/dev/null || ln -s busybox "/usr/bin/$name"; done';
  await run(["chroot", tree, "sh", "-c", script, "sh", ...stdout.trim().split("\n")]);
}
