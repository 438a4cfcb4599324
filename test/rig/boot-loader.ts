// GRUB on a disk image, for BIOS and for UEFI, without mounting anything and without grub-install, which insists on
// knowing the host's own devices. What is written where is the format of GRUB's own set-up program
// (include/grub/i386/pc/boot.h, grub-core/boot/i386/pc/boot.S and diskboot.S).

import { mkdir, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./programs.ts";

const SECTOR = 512;
/** Where boot.img ends and the partition table begins. */
const BOOT_CODE_LENGTH = 440;
/** boot.img: "the boot drive is wrong on old BIOSes" check, disabled for hard disks by two NOPs. */
const DRIVE_CHECK_OFFSET = 0x66;
/** boot.img: number of the sector that holds the first sector of core.img, 8 bytes. */
const KERNEL_SECTOR_OFFSET = 0x5c;
/** core.img, first sector: where the rest of it is; first sector (8 bytes), count (2), segment to load to (2). */
const BLOCK_LIST_OFFSET = SECTOR - 12;
/** Memory segment after the first sector, which is loaded to 0x8000. */
const REST_SEGMENT = 0x820;

const BIOS_MODULES = ["biosdisk"];
/** The last three are what a grub.cfg of grub-mkconfig asks for, as in Debian's signed GRUB: without them it stops for a key. */
const UEFI_MODULES = ["efi_gop", "fat", "all_video", "gzio", "loadenv"];
const COMMON_MODULES = [
  "normal",
  "configfile",
  "linux",
  "part_gpt",
  "part_msdos",
  "mdraid1x",
  "ext2",
  "search",
  "search_fs_uuid",
  "echo",
  "test",
];

/** Writes GRUB into the master boot record and the BIOS boot partition, which begins at `partitionSector`. */
export async function installBiosBoot(options: {
  image: string;
  partitionSector: number;
  partitionSectors: number;
  /** Configuration built into GRUB: how it finds its real configuration. */
  stub: string;
  work: string;
}): Promise<void> {
  const boot = await readFile("/usr/lib/grub/i386-pc/boot.img");
  const core = await makeImage("i386-pc", BIOS_MODULES, "/boot/grub", options);
  const sectors = Math.ceil(core.length / SECTOR);
  if (sectors > options.partitionSectors) {
    throw new Error(`GRUB needs ${sectors} sectors, the BIOS boot partition has ${options.partitionSectors}`);
  }
  boot.writeBigUInt64LE(BigInt(options.partitionSector), KERNEL_SECTOR_OFFSET);
  boot.writeUInt16LE(0x9090, DRIVE_CHECK_OFFSET);
  core.writeBigUInt64LE(BigInt(options.partitionSector + 1), BLOCK_LIST_OFFSET);
  core.writeUInt16LE(sectors - 1, BLOCK_LIST_OFFSET + 8);
  core.writeUInt16LE(REST_SEGMENT, BLOCK_LIST_OFFSET + 10);
  const file = await open(options.image, "r+");
  try {
    await file.write(boot, 0, BOOT_CODE_LENGTH, 0);
    await file.write(core, 0, core.length, options.partitionSector * SECTOR);
  } finally {
    await file.close();
  }
}

/**
 * Writes an EFI system partition's content as Debian's packages leave it: the loader in the vendor's directory with the
 * list that tells its boot entry's name (BOOTX64.CSV, UTF-16 as the UEFI shim writes it), and once more as the fallback.
 * Returns the directory to be copied into the file system.
 */
export async function makeEfiFiles(options: { stub: string; work: string }): Promise<string> {
  const loader = await makeImage("x86_64-efi", UEFI_MODULES, "/EFI/debian", options);
  const root = join(options.work, "esp");
  await mkdir(join(root, "EFI/BOOT"), { recursive: true });
  await mkdir(join(root, "EFI/debian"), { recursive: true });
  await writeFile(join(root, "EFI/BOOT/BOOTX64.EFI"), loader);
  await writeFile(join(root, "EFI/debian/grubx64.efi"), loader);
  await writeFile(join(root, "EFI/debian/grub.cfg"), options.stub);
  const entry = "\ufeffgrubx64.efi,debian,,This is the boot entry for debian\n";
  await writeFile(join(root, "EFI/debian/BOOTX64.CSV"), Buffer.from(entry, "utf16le"));
  return root;
}

async function makeImage(
  format: "i386-pc" | "x86_64-efi",
  modules: readonly string[],
  prefix: string,
  options: { stub: string; work: string },
): Promise<Buffer> {
  const output = join(options.work, `grub-${format}`);
  const stub = join(options.work, "grub-stub.cfg");
  await writeFile(stub, options.stub);
  await run([
    ...["grub-mkimage", "--format", format, "--output", output, "--prefix", prefix, "--config", stub],
    ...modules,
    ...COMMON_MODULES,
  ]);
  return await readFile(output);
}
