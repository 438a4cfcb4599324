// Debian's loaders for Secure Boot, as its packages have them: shim is signed by Microsoft, GRUB and MOK manager by Debian, which shim trusts.
// They are unpacked and not installed, because the packages' scripts set up the boot of the machine they are installed on.

import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { cached, cacheKey } from "./cache.ts";
import { SUITE } from "./debian.ts";
import { run } from "./programs.ts";

const PACKAGES = ["shim-signed", "shim-helpers-amd64-signed", "grub-efi-amd64-signed"];
/** Where packages leave them, and their names on an EFI system partition. */
const FILES = {
  "shimx64.efi": "usr/lib/shim/shimx64.efi.signed",
  "mmx64.efi": "usr/lib/shim/mmx64.efi.signed",
  "fbx64.efi": "usr/lib/shim/fbx64.efi.signed",
  "grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
} as const;

export type SignedLoader = keyof typeof FILES;

/** A directory with the loaders, under their names on an EFI system partition. GRUB reads /EFI/debian/grub.cfg of where it was started. */
export async function signedLoaders(): Promise<string> {
  const key = await cacheKey([SUITE, ...PACKAGES], [join(import.meta.dir, "signed-loaders.ts")]);
  return await cached("signed-loaders", key, {}, async (work, logFile) => {
    const unpacked = join(work, "packages");
    await mkdir(unpacked);
    await run(["apt-get", "download", "-q", ...PACKAGES], { cwd: unpacked, logFile });
    for (const name of await readdir(unpacked)) await run(["dpkg", "-x", name, "."], { cwd: unpacked });
    for (const [name, path] of Object.entries(FILES)) await rename(join(unpacked, path), join(work, name));
    await rm(unpacked, { recursive: true });
  });
}

/**
 * Makes `file` a medium that starts a ramdisk on machines with Secure Boot, as virtual media does: a FAT file system over the whole of it,
 * with shim and GRUB.
 */
export async function makeBootMedium(
  file: string,
  source: { kernel: string; initrd: string; cmdline: string },
): Promise<void> {
  const loaders = await signedLoaders();
  const files: [from: string, to: string][] = [
    [join(loaders, "shimx64.efi"), "EFI/BOOT/BOOTX64.EFI"],
    [join(loaders, "grubx64.efi"), "EFI/BOOT/grubx64.efi"],
    [source.kernel, "vmlinuz"],
    [source.initrd, "initrd"],
  ];
  const bytes = files.reduce((sum, [from]) => sum + Bun.file(from).size, 0);
  const kib = Math.ceil((bytes * 1.02) / 1024) + 4096;
  await rm(file, { force: true });
  await run(["mkfs.vfat", "-C", "-F", "32", "-n", "RAMDISK", file, String(kib)]);
  await run(["mmd", "-i", file, "::/EFI", "::/EFI/BOOT", "::/EFI/debian"]);
  for (const [from, to] of files) await run(["mcopy", "-i", file, from, `::/${to}`]);
  const configuration = `${file}.cfg`;
  await Bun.write(configuration, `linux /vmlinuz ${source.cmdline}\ninitrd /initrd\nboot\n`);
  await run(["mcopy", "-i", file, configuration, "::/EFI/debian/grub.cfg"]);
  await rm(configuration);
}
