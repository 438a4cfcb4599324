// The real image: Debian 12 with systemd on a GPT disk that boots in BIOS and in UEFI from any disk controller, reads
// its config drive and says so on the console. Made as an ordinary file, without mounting and without loop devices.

import { mkdir, open, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { installBiosBoot, makeEfiFiles } from "./boot-loader.ts";
import { cached, cacheKey } from "./cache.ts";
import { debianTree, runInTree, SUITE } from "./debian.ts";
import { kernelRelease, trimKernelModules } from "./kernel-modules.ts";
import { run } from "./programs.ts";
import type { BaseOptions } from "./ramdisk.ts";

const PACKAGES = [
  "linux-image-amd64",
  "initramfs-tools",
  "zstd",
  "systemd-sysv",
  "udev",
  "kmod",
  "e2fsprogs",
  "iproute2",
  "iputils-ping",
  "jq",
  "mdadm",
  // For the agent to install, where the image is deployed as a root file system.
  "grub-pc-bin",
  "grub2-common",
];

/** What the initramfs needs to find a root file system on any disk controller of a QEMU machine, or on a mirror of disks. */
const INITRAMFS_MODULES = [
  ...["virtio_pci", "virtio_blk", "virtio_scsi", "ahci", "nvme", "sd_mod", "ext4", "raid1"],
];

/** Units that only cost time on a machine that lives for some minutes. */
const MASKED_UNITS = [
  "apt-daily.timer",
  "apt-daily-upgrade.timer",
  "dpkg-db-backup.timer",
  "e2scrub_all.timer",
  "e2scrub_reap.service",
  "fstrim.timer",
  "getty-static.service",
  "getty@tty1.service",
  "systemd-timesyncd.service",
];

const REMOVED = ["var/cache/apt", "var/lib/apt/lists", "var/log/*.log", "var/log/apt", "usr/share/locale"];

const MIB = 1024 * 1024;
const SECTOR = 512;

interface Partition {
  name: string;
  /** GPT type code of sgdisk. */
  type: string;
  startMiB: number;
  sizeMiB: number;
}

const BIOS_BOOT: Partition = { name: "bios", type: "ef02", startMiB: 1, sizeMiB: 1 };
const ESP: Partition = { name: "esp", type: "ef00", startMiB: 2, sizeMiB: 64 };
const ROOT: Partition = { name: "root", type: "8304", startMiB: 66, sizeMiB: 400 };
/** The last mebibyte belongs to the backup of the partition table. */
const DISK_MIB = ROOT.startMiB + ROOT.sizeMiB + 1;

export interface ImageFile {
  file: string;
  sizeBytes: number;
  sha256: string;
  sha512: string;
}

export interface DemoImage {
  /** Size of the disk that the image needs, in bytes. */
  virtualSizeBytes: number;
  raw: ImageFile;
  qcow2: ImageFile;
  /** The root file system alone (ext4): a partition image. Its EFI loaders are in /boot/efi, as packages leave them. */
  root: ImageFile;
  /** UUID of the root file system (the reference's root_uuid for whole-disk images). */
  rootUuid: string;
}

/** What the image prints on its console; groups: uuid, hostname, boot (bios or uefi), root (device). */
export const BOOTED_MARKER =
  /IRONIC-DEMO-BOOTED uuid=(?<uuid>\S+) hostname=(?<hostname>\S+) boot=(?<boot>bios|uefi) root=(?<root>\S+)/;
export const NO_CONFIG_DRIVE_MARKER = /IRONIC-DEMO-NO-CONFIG-DRIVE/;

/** The image as raw and qcow2, from the cache under .cache/rig when nothing changed. */
export async function demoImage(options: BaseOptions = {}): Promise<DemoImage> {
  const builders = ["image.ts", "debian.ts", "kernel-modules.ts", "boot-loader.ts"];
  const parts = ["config-drive", "config-drive.service", "grub.cfg", "grub-stub.cfg"];
  const sources = [...builders, ...parts.map((name) => `image/${name}`)];
  const key = await cacheKey(
    [SUITE],
    sources.map((name) => join(import.meta.dir, name)),
  );
  const directory = await cached("image", key, options, async (work, logFile) => {
    options.report?.("building the image from Debian packages");
    await buildImage(work, logFile, options);
  });
  const manifest = JSON.parse(await readFile(join(directory, "manifest.json"), "utf8")) as DemoImage;
  const located = (image: ImageFile) => ({ ...image, file: join(directory, image.file) });
  return {
    ...manifest,
    raw: located(manifest.raw),
    qcow2: located(manifest.qcow2),
    root: located(manifest.root),
  };
}

async function buildImage(work: string, logFile: string, options: BaseOptions): Promise<void> {
  const tree = join(work, "tree");
  await debianTree({
    packages: PACKAGES,
    directory: tree,
    mirror: options.mirror,
    logFile,
    signal: options.signal,
  });
  const rootUuid = crypto.randomUUID();
  await configureTree(tree, rootUuid, logFile, options.signal);

  const raw = join(work, "image.raw");
  await partition(raw);
  const stub = (await readPart("grub-stub.cfg")).replaceAll("@ROOT_UUID@", rootUuid);
  const efi = await makeEfiFiles({ stub, work });
  await mkdir(join(tree, "boot/efi"), { recursive: true });
  await run(["cp", "-r", join(efi, "EFI"), join(tree, "boot/efi/EFI")]);
  const root = join(work, "root.raw");
  await writeFile(root, "");
  await makeRootFileSystem(root, 0, tree, rootUuid, logFile);
  await makeRootFileSystem(raw, ROOT.startMiB * MIB, tree, rootUuid, logFile);
  await makeEsp(raw, efi, work);
  await installBiosBoot({
    image: raw,
    partitionSector: (BIOS_BOOT.startMiB * MIB) / SECTOR,
    partitionSectors: (BIOS_BOOT.sizeMiB * MIB) / SECTOR,
    stub,
    work,
  });
  const qcow2 = join(work, "image.qcow2");
  await run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, qcow2]);
  const manifest: DemoImage = {
    virtualSizeBytes: DISK_MIB * MIB,
    raw: await describe(raw, "image.raw"),
    qcow2: await describe(qcow2, "image.qcow2"),
    root: await describe(root, "root.raw"),
    rootUuid,
  };
  await writeFile(join(work, "manifest.json"), JSON.stringify(manifest, null, 2));
  for (const leftover of ["tree", "esp", "esp.img", "grub-stub.cfg", "grub-i386-pc", "grub-x86_64-efi"]) {
    await rm(join(work, leftover), { recursive: true, force: true });
  }
}

async function configureTree(
  tree: string,
  rootUuid: string,
  logFile: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const release = await kernelRelease(tree);
  await trimKernelModules(tree, release);
  const write = async (path: string, content: string, mode = 0o644) => {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await writeFile(join(tree, path), content, { mode });
  };
  await write("etc/fstab", `UUID=${rootUuid} / ext4 errors=remount-ro 0 1\n`);
  await write(
    "etc/default/grub",
    'GRUB_TIMEOUT=0\nGRUB_TERMINAL=console\nGRUB_CMDLINE_LINUX="console=ttyS0 quiet"\n',
  );
  await write("etc/hostname", "demo-image\n");
  await write("etc/hosts", "127.0.0.1 localhost\n");
  // Empty: systemd makes one at the first boot, so that no two machines share it.
  await write("etc/machine-id", "");
  await write("boot/grub/grub.cfg", (await readPart("grub.cfg")).replaceAll("@ROOT_UUID@", rootUuid));
  await write("usr/local/sbin/config-drive", await readPart("config-drive"), 0o755);
  await write("etc/systemd/system/config-drive.service", await readPart("config-drive.service"));
  await write("etc/initramfs-tools/conf.d/rig", "MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=3\n");
  await write("usr/share/initramfs-tools/modules.d/rig", `${INITRAMFS_MODULES.join("\n")}\n`);
  await runInTree(tree, `update-initramfs -c -k ${release}`, { logFile, signal });
  await runInTree(tree, `systemctl enable config-drive.service; systemctl mask ${MASKED_UNITS.join(" ")}`, {
    logFile,
    signal,
  });
  for (const [link, target] of [
    ["boot/vmlinuz", `vmlinuz-${release}`],
    ["boot/initrd.img", `initrd.img-${release}`],
  ] as const) {
    await rm(join(tree, link), { force: true });
    await symlink(target, join(tree, link));
  }
  await run(["sh", "-c", `rm -rf -- ${REMOVED.join(" ")}`], { cwd: tree });
}

async function partition(image: string): Promise<void> {
  await writeFile(image, "");
  const file = await open(image, "r+");
  await file.truncate(DISK_MIB * MIB);
  await file.close();
  const partitions = [BIOS_BOOT, ESP, ROOT].flatMap(({ name, type, startMiB, sizeMiB }, index) => [
    ...["--new", `${index + 1}:${startMiB}MiB:+${sizeMiB}MiB`],
    ...["--typecode", `${index + 1}:${type}`, "--change-name", `${index + 1}:${name}`],
  ]);
  await run(["sgdisk", "--clear", ...partitions, image]);
}

async function makeRootFileSystem(
  image: string,
  offset: number,
  tree: string,
  uuid: string,
  logFile: string,
): Promise<void> {
  await run(
    [
      ...["mke2fs", "-q", "-t", "ext4", "-L", "demo-root", "-U", uuid, "-m", "1", "-d", tree],
      // No lazy initialisation: the machine would spend its first minutes zeroing inode tables.
      ...["-E", `offset=${offset},lazy_itable_init=0,lazy_journal_init=0`],
      ...[image, `${ROOT.sizeMiB}M`],
    ],
    { logFile },
  );
}

async function makeEsp(image: string, files: string, work: string): Promise<void> {
  const file = join(work, "esp.img");
  await run(["mkfs.vfat", "-C", "-F", "32", "-n", "DEMO-ESP", file, String(ESP.sizeMiB * 1024)]);
  await run(["mcopy", "-s", "-i", file, join(files, "EFI"), "::/"]);
  await run([
    ...["dd", `if=${file}`, `of=${image}`, "bs=1M", `seek=${ESP.startMiB}`],
    ...["conv=notrunc,sparse", "status=none"],
  ]);
}

async function describe(path: string, name: string): Promise<ImageFile> {
  const sha256 = new Bun.CryptoHasher("sha256");
  const sha512 = new Bun.CryptoHasher("sha512");
  const file = Bun.file(path);
  for await (const chunk of file.stream()) {
    sha256.update(chunk);
    sha512.update(chunk);
  }
  return { file: name, sizeBytes: file.size, sha256: sha256.digest("hex"), sha512: sha512.digest("hex") };
}

async function readPart(name: string): Promise<string> {
  return await readFile(join(import.meta.dir, "image", name), "utf8");
}
