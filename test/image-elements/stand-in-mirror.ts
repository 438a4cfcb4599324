// A stand-in for a mirror of Tiny Core, which the build machines cannot reach: the same layout and the same way to start, made
// of Debian's kernel, busybox and tools. What it cannot show is whether Tiny Core's own packages have what their names promise.

import { chmod, copyFile, mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { cached, cacheKey } from "../rig/cache.ts";
import { debianTree, SUITE } from "../rig/debian.ts";
import { librariesOf } from "../rig/elf-libraries.ts";
import { kernelRelease, modulesToKeep, parseModulesDep } from "../rig/kernel-modules.ts";
import { run } from "../rig/programs.ts";
import type { BaseOptions } from "../rig/ramdisk.ts";

/** The release that the stand-in calls itself. */
export const STAND_IN_RELEASE = "15.x";
const FILES = join(import.meta.dir, "tinycore");

const PACKAGES = [
  ...["linux-image-amd64", "udev", "kmod", "busybox-static", "sudo", "ca-certificates", "openssh-server"],
  ...[
    "coreutils",
    "dosfstools",
    "e2fsprogs",
    "efibootmgr",
    "gdisk",
    "hdparm",
    "iproute2",
    "ipmitool",
    "lvm2",
  ],
  ...["mdadm", "nvme-cli", "parted", "psmisc", "smartmontools", "util-linux", "util-linux-extra"],
];

/** What corepure64.gz has beside busybox. */
const CORE_PROGRAMS = ["/usr/bin/udevadm", "/usr/bin/kmod", "/usr/bin/sudo"];
const CORE_LIBRARIES = ["libpthread.so.0", "libdl.so.2", "libm.so.6", "libc.so.6", "libgcc_s.so.1"];
const CORE_MODULES = {
  directories: [
    "crypto",
    "drivers/ata",
    "drivers/char/ipmi",
    "drivers/nvme",
    "drivers/virtio",
    "fs/efivarfs",
    "fs/nls",
  ],
  names: [
    "loop",
    "virtio_blk",
    "virtio_net",
    "e1000e",
    "crc32c_intel",
    "aesni_intel",
    "virtio_rng",
    "usb_storage",
    "xhci_pci",
  ],
};

interface Extension {
  programs?: readonly string[];
  modules?: { directories: readonly string[]; names: readonly string[] };
  needs?: readonly string[];
}

/** By their names on a mirror; KERNEL is the kernel's release. */
const EXTENSIONS: Readonly<Record<string, Extension>> = {
  coreutils: { programs: ["cp", "rm", "shred", "sync", "chroot"] },
  dosfstools: { programs: ["mkfs.fat", "mkfs.vfat"] },
  e2fsprogs: { programs: ["mke2fs", "mkfs.ext4", "mkfs.ext2", "e2fsck"] },
  efibootmgr: { programs: ["efibootmgr"], needs: ["efivar"] },
  efivar: {},
  gdisk: { programs: ["sgdisk"] },
  hdparm: { programs: ["hdparm"] },
  iproute2: { programs: ["ip"] },
  ipmitool: { programs: ["ipmitool"] },
  lvm2: { programs: ["lvm", "vgchange", "pvs", "dmsetup"], needs: ["raid-dm-KERNEL"] },
  mdadm: { programs: ["mdadm", "mdmon"], needs: ["raid-dm-KERNEL"] },
  openssh: { programs: ["sshd", "ssh-keygen"] },
  parted: { programs: ["parted", "partprobe"] },
  psmisc: { programs: ["fuser"] },
  smartmontools: { programs: ["smartctl"] },
  "udev-lib": {},
  "util-linux": {
    programs: [
      ...[
        "blkid",
        "blockdev",
        "hwclock",
        "losetup",
        "lsblk",
        "lscpu",
        "mkfs",
        "mkswap",
        "mount",
        "partx",
        "prlimit",
      ],
      ...["setpriv", "umount", "unshare", "wipefs"],
    ],
  },
  "filesystems-KERNEL": { modules: { directories: ["fs/ext4", "fs/fat", "fs/isofs", "fs/xfs"], names: [] } },
  "raid-dm-KERNEL": {
    modules: { directories: [], names: ["raid0", "raid1", "raid10", "raid456", "dm_mod", "dm_snapshot"] },
  },
  "scsi-KERNEL": { modules: { directories: [], names: ["sd_mod", "sr_mod", "sg", "virtio_scsi"] } },
};

/** The mirror's folder, to be given as TINYCORE_MIRROR_URL; from the cache when nothing changed. */
export async function standInMirror(options: BaseOptions = {}): Promise<string> {
  const names = ["bootsync.sh", "init", "inittab", "openssh", "rcS", "tc-config"];
  const key = await cacheKey([SUITE], [import.meta.path, ...names.map((name) => join(FILES, name))]);
  return await cached("tinycore", key, options, async (work, logFile) => {
    options.report?.("making a stand-in for a mirror of Tiny Core from Debian packages");
    const debian = join(work, "debian");
    await debianTree({
      packages: PACKAGES,
      directory: debian,
      mirror: options.mirror,
      logFile,
      signal: options.signal,
    });
    await new Mirror(debian, work, await kernelRelease(debian)).make();
    await rm(debian, { recursive: true });
  });
}

class Mirror {
  readonly #debian: string;
  readonly #work: string;
  readonly #kernel: string;
  readonly #coreLibraries = new Set<string>();
  readonly #coreModules = new Set<string>();

  constructor(debian: string, work: string, kernel: string) {
    this.#debian = debian;
    this.#work = work;
    this.#kernel = kernel;
  }

  async make(): Promise<void> {
    const files = join(this.#work, STAND_IN_RELEASE, "x86_64/release/distribution_files");
    const tcz = join(this.#work, STAND_IN_RELEASE, "x86_64/tcz");
    await mkdir(files, { recursive: true });
    await mkdir(tcz, { recursive: true });
    await copyFile(join(this.#debian, "boot", `vmlinuz-${this.#kernel}`), join(files, "vmlinuz64"));
    await this.#core(join(files, "corepure64.gz"));
    for (const [name, extension] of Object.entries(EXTENSIONS)) await this.#extension(name, extension, tcz);
    const sums =
      'for file in *64.gz *64 *.tcz; do [ -f "$file" ] && md5sum "$file" >"$file.md5.txt"; done; true';
    for (const cwd of [files, tcz]) await run(["sh", "-c", sums], { cwd });
  }

  async #core(target: string): Promise<void> {
    const tree = join(this.#work, "core");
    for (const directory of [
      ...[
        "bin",
        "sbin",
        "lib",
        "dev",
        "proc",
        "sys",
        "run",
        "tmp",
        "root",
        "opt",
        "mnt",
        "var/run",
        "var/log",
      ],
      ...[
        "etc/init.d",
        "etc/pam.d",
        "etc/udev/rules.d",
        "usr/bin",
        "usr/sbin",
        "usr/lib/udev",
        "usr/local/bin",
        "home/tc",
      ],
      ...["usr/local/sbin", "usr/local/lib", "usr/local/tce.installed", "lib/x86_64-linux-gnu/security"],
    ])
      await mkdir(join(tree, directory), { recursive: true });
    await symlink("lib", join(tree, "lib64"));
    await copyFile(join(this.#debian, "bin/busybox"), join(tree, "bin/busybox"));
    await run(["chroot", tree, "/bin/busybox", "--install", "-s"]);
    for (const program of CORE_PROGRAMS) await this.#program(program, join(tree, dirname(program)));
    await symlink("../bin/udevadm", join(tree, "usr/sbin/udevd"));
    // Also a name under which it serves: kmod knows what it is called as.
    await rm(join(tree, "sbin/modprobe"), { force: true });
    await symlink("../usr/bin/kmod", join(tree, "sbin/modprobe"));
    // Debian's libpam looks under /lib, which is no link to /usr/lib here.
    const pam = "lib/x86_64-linux-gnu/security/pam_permit.so";
    await copyFile(join(this.#debian, pam), join(tree, pam));
    const libraries = await librariesOf(this.#debian, [...CORE_PROGRAMS, `/${pam}`, "/usr/bin/mount"]);
    const loader = libraries.filter((path) => path.startsWith("/lib64/"));
    const extra = CORE_LIBRARIES.map((name) => `/lib/x86_64-linux-gnu/${name}`);
    for (const path of new Set([...libraries, ...loader, ...extra])) {
      await this.#library(path, join(tree, "lib"));
      this.#coreLibraries.add(basename(path));
    }
    const plugins = "usr/libexec/sudo";
    const copied = [plugins, "usr/lib/udev", "etc/ssl", "usr/share/ca-certificates", "etc/mke2fs.conf"];
    // mkfs.vfat asks for code page 850.
    const gconv = "usr/lib/x86_64-linux-gnu/gconv";
    copied.push(`${gconv}/IBM850.so`, `${gconv}/gconv-modules`, `${gconv}/gconv-modules.d`);
    await run(["cp", "-a", "--parents", ...copied, tree], { cwd: this.#debian });
    for (const unused of ["usr/lib/udev/hwdb.d", "usr/lib/udev/hwdb.bin"])
      await rm(join(tree, unused), { recursive: true, force: true });
    await this.#modules(CORE_MODULES, join(tree, "lib/modules", this.#kernel), this.#coreModules);
    await symlink(
      `/usr/local/lib/modules/${this.#kernel}/kernel`,
      join(tree, "lib/modules", this.#kernel, "kernel.tclocal"),
    );
    for (const name of ["modules.builtin", "modules.order", "modules.builtin.modinfo"])
      await copyFile(
        join(this.#debian, "lib/modules", this.#kernel, name),
        join(tree, "lib/modules", this.#kernel, name),
      );
    await this.#coreFiles(tree);
    await run(
      [
        "sh",
        "-c",
        'find . -mindepth 1 | LC_ALL=C sort | cpio --create -H newc --quiet | gzip -n -9 >"$1"',
        "sh",
        target,
      ],
      { cwd: tree },
    );
    await rm(tree, { recursive: true });
  }

  async #coreFiles(tree: string): Promise<void> {
    const scripts = {
      init: "init",
      rcS: "etc/init.d/rcS",
      "tc-config": "etc/init.d/tc-config",
      "bootsync.sh": "opt/bootsync.sh",
    };
    for (const [source, path] of Object.entries(scripts)) {
      await copyFile(join(FILES, source), join(tree, path));
      await chmod(join(tree, path), 0o755);
    }
    await copyFile(join(FILES, "inittab"), join(tree, "etc/inittab"));
    const texts: Readonly<Record<string, string>> = {
      passwd:
        "root:x:0:0:root:/root:/bin/sh\ntc:x:1001:50:Linux User:/home/tc:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
      group: "root:x:0:\nstaff:x:50:\ntty:x:5:\ndisk:x:6:\nkmem:x:15:\nutmp:x:43:\nnogroup:x:65534:\n",
      shadow: "root:*:13525:0:99999:7:::\ntc::13646:0:99999:7:::\n",
      sudoers: "root ALL=(ALL) ALL\ntc ALL=NOPASSWD: ALL\n",
      "pam.d/sudo":
        "auth sufficient pam_permit.so\naccount sufficient pam_permit.so\nsession sufficient pam_permit.so\n",
      "ld.so.conf": "/usr/local/lib\n",
      hosts: "127.0.0.1 localhost\n",
      "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
      shells: "/bin/sh\n",
    };
    for (const [name, text] of Object.entries(texts)) await writeFile(join(tree, "etc", name), text);
    await chmod(join(tree, "etc/shadow"), 0o600);
    await chmod(join(tree, "etc/sudoers"), 0o440);
    await chmod(join(tree, "usr/bin/sudo"), 0o4755);
    await run(["chown", "-R", "1001:50", join(tree, "home/tc")]);
  }

  async #extension(template: string, extension: Extension, tcz: string): Promise<void> {
    const name = this.#named(template);
    const tree = join(this.#work, "extension");
    await mkdir(join(tree, "usr/local/tce.installed"), { recursive: true });
    const programs = await Promise.all((extension.programs ?? []).map((program) => this.#find(program)));
    for (const path of programs) {
      const directory = join(tree, "usr/local", path.includes("sbin/") ? "sbin" : "bin");
      await this.#program(path, directory);
    }
    for (const path of await librariesOf(this.#debian, programs))
      if (!this.#coreLibraries.has(basename(path))) await this.#library(path, join(tree, "usr/local/lib"));
    if (extension.modules !== undefined)
      await this.#modules(
        extension.modules,
        join(tree, "usr/local/lib/modules", this.#kernel),
        new Set(),
        this.#coreModules,
      );
    if (template === "openssh") {
      const script = join(tree, "usr/local/etc/init.d/openssh");
      await mkdir(dirname(script), { recursive: true });
      await writeFile(script, await readFile(join(FILES, "openssh")), { mode: 0o755 });
    }
    await run([
      "mksquashfs",
      tree,
      join(tcz, `${name}.tcz`),
      "-quiet",
      "-no-progress",
      "-all-root",
      "-noappend",
    ]);
    const needs = extension.needs ?? [];
    if (needs.length > 0)
      await writeFile(join(tcz, `${name}.tcz.dep`), needs.map((need) => `${need}.tcz\n`).join(""));
    await rm(tree, { recursive: true });
  }

  /** Copies the modules and what they depend on; those in `except` are elsewhere. What was copied is added to `into`. */
  async #modules(
    wanted: { directories: readonly string[]; names: readonly string[] },
    target: string,
    into: Set<string>,
    except: ReadonlySet<string> = new Set(),
  ): Promise<void> {
    const root = join(this.#debian, "lib/modules", this.#kernel);
    const dependencies = parseModulesDep(await readFile(join(root, "modules.dep"), "utf8"));
    for (const path of modulesToKeep(dependencies, wanted.directories, wanted.names)) {
      if (except.has(path)) continue;
      into.add(path);
      await mkdir(dirname(join(target, path)), { recursive: true });
      await copyFile(join(root, path), join(target, path));
    }
  }

  /** A program's own file, under the name it is called by. */
  async #program(path: string, directory: string): Promise<void> {
    const target = join(directory, basename(path));
    await mkdir(directory, { recursive: true });
    await rm(target, { force: true });
    await copyFile(join(this.#debian, path), `${target}.new`);
    await chmod(`${target}.new`, 0o755);
    await rename(`${target}.new`, target);
  }

  async #library(path: string, directory: string): Promise<void> {
    await mkdir(directory, { recursive: true });
    await copyFile(join(this.#debian, path), join(directory, basename(path)));
    await chmod(join(directory, basename(path)), 0o755);
  }

  async #find(program: string): Promise<string> {
    const { stdout } = await run(["chroot", this.#debian, "sh", "-c", `command -v ${program}`]);
    return stdout.trim();
  }

  #named(template: string): string {
    return template.replaceAll("KERNEL", this.#kernel);
  }
}
