// The image's /etc/fstab gets a line for the EFI system partition, which the image's maker could not know: the system's own
// updates of its boot loader go there. Source: deploy specification 5.5.3.

import { probeFileSystem } from "../disk/file-system.ts";
import type { ImageRoot } from "../disk/image-root.ts";
import { errorText } from "../errors.ts";
import type { BootLoaderContext } from "./efi-boot.ts";

const FSTAB = "/etc/fstab";
const ESP = "/boot/efi";

/** Never fails: the system boots without the line. @param esp device node of the partition */
export async function appendEspToFstab(
  { system, signal }: BootLoaderContext,
  image: ImageRoot,
  esp: string,
): Promise<void> {
  try {
    if (!(await image.hasFile(FSTAB))) return;
    const path = await image.resolve(FSTAB);
    const { uuid, partUuid } = await probeFileSystem(system, esp, signal);
    const id = uuid === null ? (partUuid === null ? null : `PARTUUID=${partUuid}`) : `UUID=${uuid}`;
    const text = await system.files.readText(path);
    const changed = id === null ? text : withEspLine(text, id);
    if (changed !== text) await system.files.writeInPlace(path, changed);
  } catch (error) {
    signal.throwIfAborted();
    system.log.warning(
      `the EFI system partition could not be put into the image's fstab: ${errorText(error)}`,
    );
  }
}

/** `fstab` with a line for the ESP; unchanged if it has one, whatever it names. @param id `UUID=…` or `PARTUUID=…` */
export function withEspLine(fstab: string, id: string): string {
  const mounted = fstab
    .split("\n")
    .some((line) => !line.trimStart().startsWith("#") && line.trim().split(/\s+/)[1] === ESP);
  if (mounted || fstab.includes(id)) return fstab;
  const start = fstab === "" || fstab.endsWith("\n") ? "" : "\n";
  return `${fstab}${start}${id}\t${ESP}\tvfat\tumask=0077\t0\t1\n`;
}
