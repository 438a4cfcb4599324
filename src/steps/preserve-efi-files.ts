// Takes the EFI loaders that an image carries in its root file system to the EFI system partition that was made for it: signed
// ones stay as they are, so Secure Boot works. Source: deploy specification 5.5.1.

import { copyFile, copyTree } from "../disk/copy-tree.ts";
import type { ImageRoot } from "../disk/image-root.ts";
import { mountTemporarily } from "../disk/mounts.ts";
import type { System } from "../system/system.ts";
import type { BootLoaderContext } from "./efi-boot.ts";

const EFI = "/boot/efi/EFI";
/** File names' suffix by the runtime's name of the architecture. */
const SUFFIX: Readonly<Record<string, string>> = { x64: "x64", arm64: "aa64" };

/**
 * Merges the image's EFI directory into the ESP at device node `esp`. Nothing of it passes through memory, as the tree may have any
 * size, and what is done after the copying is done on the ESP, where there are no links.
 * @throws ProgramFailedError, FileError
 */
export async function preserveEfiFiles(
  { system, signal }: Pick<BootLoaderContext, "system" | "signal">,
  image: Pick<ImageRoot, "resolve" | "hasFile">,
  esp: string,
): Promise<void> {
  await using mounted = await mountTemporarily(system, esp, { type: "vfat", readOnly: false, signal });
  const [source, target] = [await image.resolve(EFI), `${mounted.path}/EFI`];
  await copyTree(system, source, target, signal);
  await addGrubFiles(system, image, { source, target }, signal);
  await addRemovableLoader(system, target, signal);
}

/** GRUB looks for its configuration beside itself on the ESP. */
async function addGrubFiles(
  system: System,
  image: Pick<ImageRoot, "resolve" | "hasFile">,
  { source, target }: { readonly source: string; readonly target: string },
  signal: AbortSignal,
): Promise<void> {
  for (const directory of await system.files.list(source)) {
    if ((await system.files.kind(`${source}/${directory}`)) !== "directory") continue;
    for (const name of ["grub.cfg", "grubenv"]) {
      if ((await system.files.kind(`${source}/${directory}/${name}`)) === "file") continue;
      for (const grub of ["grub2", "grub"]) {
        const path = `/boot/${grub}/${name}`;
        if (!(await image.hasFile(path))) continue;
        await copyFile(system, await image.resolve(path), `${target}/${directory}/${name}`, signal);
        break;
      }
    }
  }
}

/** Firmware that lost its entries looks for EFI/BOOT only: shim goes there, with what it starts. */
async function addRemovableLoader(system: System, efi: string, signal: AbortSignal): Promise<void> {
  const suffix = SUFFIX[system.architecture] ?? system.architecture;
  const find = (directory: string, name: string) => findFile(system, `${efi}/${directory}`, name);
  const directories: string[] = [];
  for (const name of await system.files.list(efi))
    if ((await system.files.kind(`${efi}/${name}`)) === "directory") directories.push(name);
  const boot = directories.find((name) => name.toLowerCase() === "boot") ?? "BOOT";
  if ((await find(boot, `boot${suffix}.efi`)) !== null) return;
  for (const vendor of directories) {
    const shim = await find(vendor, `shim${suffix}.efi`);
    if (vendor === boot || shim === null) continue;
    await system.files.makeDirectory(`${efi}/${boot}`);
    await copyFile(system, shim, `${efi}/${boot}/BOOT${suffix.toUpperCase()}.EFI`, signal);
    for (const companion of [`grub${suffix}.efi`, `mm${suffix}.efi`, `fb${suffix}.efi`, "grub.cfg"]) {
      const path = await find(vendor, companion);
      if (path !== null)
        await copyFile(system, path, `${efi}/${boot}/${path.slice(path.lastIndexOf("/") + 1)}`, signal);
    }
    return;
  }
}

/** Path of the file by that name in any case; null if there is none. */
async function findFile(system: System, directory: string, name: string): Promise<string | null> {
  const found = (await system.files.list(directory)).find((known) => known.toLowerCase() === name);
  const path = `${directory}/${found}`;
  return found !== undefined && (await system.files.kind(path)) === "file" ? path : null;
}
