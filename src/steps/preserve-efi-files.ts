// Takes the EFI loaders that an image carries in its root file system to the EFI system partition that was made for it: signed
// ones stay as they are, so Secure Boot works. Source: deploy specification 5.5.1.

import type { ImageRoot } from "../disk/image-root.ts";
import type { System } from "../system/system.ts";
import type { BootLoaderContext } from "./efi-boot.ts";

const EFI = "/boot/efi/EFI";
/** File names' suffix by the runtime's name of the architecture. */
const SUFFIX: Readonly<Record<string, string>> = { x64: "x64", arm64: "aa64" };
const COPY_TIMEOUT = 600;

/** Merges the image's EFI directory into the ESP at device node `esp`. @throws ProgramFailedError, FileError */
export async function preserveEfiFiles(
  { system, signal }: BootLoaderContext,
  image: ImageRoot,
  esp: string,
): Promise<void> {
  await using copy = await system.files.temporaryDirectory("ironic-agent-efi-");
  const kept = `${copy.path}/EFI`;
  await copyTree(system, await image.resolve(EFI), kept, signal);
  await addGrubFiles(system, image, kept, signal);
  await addRemovableLoader(system, kept, signal);
  await using mounted = await image.mountFat(esp, "/boot/efi");
  await copyTree(system, kept, `${mounted.path}/EFI`, signal);
}

/** GRUB looks for its configuration beside itself on the ESP. */
async function addGrubFiles(
  system: System,
  image: ImageRoot,
  efi: string,
  signal: AbortSignal,
): Promise<void> {
  for (const directory of await system.files.list(efi)) {
    for (const name of ["grub.cfg", "grubenv"]) {
      const target = `${efi}/${directory}/${name}`;
      if ((await system.files.kind(target)) !== null) continue;
      for (const grub of ["grub2", "grub"]) {
        if (!(await image.hasFile(`/boot/${grub}/${name}`))) continue;
        await copyFile(system, await image.resolve(`/boot/${grub}/${name}`), target, signal);
        break;
      }
    }
  }
}

/** Firmware that lost its entries looks for EFI/BOOT only: shim goes there, with what it starts. */
async function addRemovableLoader(system: System, efi: string, signal: AbortSignal): Promise<void> {
  const suffix = SUFFIX[system.architecture] ?? system.architecture;
  const find = async (directory: string, name: string) =>
    (await system.files.list(`${efi}/${directory}`)).find((known) => known.toLowerCase() === name);
  const directories = await system.files.list(efi);
  const boot = directories.find((name) => name.toLowerCase() === "boot") ?? "BOOT";
  if ((await find(boot, `boot${suffix}.efi`)) !== undefined) return;
  for (const vendor of directories) {
    const shim = await find(vendor, `shim${suffix}.efi`);
    if (vendor === boot || shim === undefined) continue;
    await system.files.makeDirectory(`${efi}/${boot}`);
    const loader = `${efi}/${boot}/BOOT${suffix.toUpperCase()}.EFI`;
    await copyFile(system, `${efi}/${vendor}/${shim}`, loader, signal);
    for (const companion of [`grub${suffix}.efi`, `mm${suffix}.efi`, `fb${suffix}.efi`, "grub.cfg"]) {
      const name = await find(vendor, companion);
      if (name !== undefined)
        await copyFile(system, `${efi}/${vendor}/${name}`, `${efi}/${boot}/${name}`, signal);
    }
    return;
  }
}

/** Merges a directory into another one, replacing files. */
async function copyTree(system: System, from: string, to: string, signal: AbortSignal): Promise<void> {
  await system.run(["cp", "-rT", from, to], { timeout: COPY_TIMEOUT, signal });
}

async function copyFile(system: System, from: string, to: string, signal: AbortSignal): Promise<void> {
  await system.run(["cp", "-T", from, to], { timeout: COPY_TIMEOUT, signal });
}
