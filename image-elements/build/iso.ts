// An ISO with kernel and ramdisk that both BIOS and UEFI boot, from a CD and, dd'ed, from a USB stick. Ironic makes its own when it
// boots by virtual media; this one is for driver_info/deploy_iso and for people.

import { link, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../test/rig/programs.ts";

export interface IsoSources {
  kernel: string;
  initramfs: string;
  kernelParameters: string;
  output: string;
  /** Where the tree is put together, on the file system of kernel and initramfs. */
  work: string;
  logFile: string;
  signal: AbortSignal;
}

export async function createIso(iso: IsoSources): Promise<void> {
  const tree = join(iso.work, "iso");
  await mkdir(join(tree, "boot/grub"), { recursive: true });
  await link(iso.kernel, join(tree, "boot/kernel"));
  await link(iso.initramfs, join(tree, "boot/initramfs"));
  await writeFile(join(tree, "boot/grub/grub.cfg"), grubConfiguration(iso.kernelParameters));
  await run(["grub-mkrescue", "--output", iso.output, tree, "--", "-volid", "IRONIC-AGENT"], {
    logFile: iso.logFile,
    signal: iso.signal,
  });
  await rm(tree, { recursive: true });
}

export function grubConfiguration(kernelParameters: string): string {
  return `# A machine without a serial port has the screen alone.
if serial --unit=0 --speed=115200; then
  terminal_input console serial
  terminal_output console serial
fi
set timeout=2
menuentry "Ironic agent" {
  linux /boot/kernel ${kernelParameters}
  initrd /boot/initramfs
}
`;
}
