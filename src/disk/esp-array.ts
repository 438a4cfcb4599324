// The EFI system partition of a software RAID: a mirror over the disks, with its superblock at the end, so that firmware takes each
// half for an ordinary FAT file system. What the image has on its own ESP moves there, UUID and label included,
// because the image's fstab may use either. Source: deploy specification 5.7.

import { SoftwareRAIDError } from "../errors.ts";
import type { System } from "../system/system.ts";
import { probeFileSystem } from "./file-system.ts";
import type { HolderPartition } from "./holder-partitions.ts";
import { listArrays, readArray } from "./md-arrays.ts";
import { createArray, stopArray, zeroSuperblock } from "./mdadm.ts";
import { mountTemporarily } from "./mounts.ts";
import { settleUdev } from "./rescan.ts";
import { wipeSignatures } from "./wipe.ts";

const NAME = "esp";
const MAX_ARRAYS = 128;
const MKFS_TIMEOUT = 600;

/** Device node of the mirror over exactly these partitions; made if there is none. */
export async function espArray(
  system: System,
  members: readonly HolderPartition[],
  signal: AbortSignal,
): Promise<string> {
  const paths = members.map(({ path }) => path);
  for (const device of await listArrays(system)) {
    const { components } = await readArray(system, device, signal);
    if (!components.some((component) => paths.includes(component))) continue;
    if (components.length === paths.length && paths.every((path) => components.includes(path))) return device;
    // A disk was replaced: its part would stay empty. What is on the mirror is about to be written anew anyway.
    system.log.info(`${device} is on ${components.join(", ")} only: it is made again on ${paths.join(", ")}`);
    await stopArray(system, device, signal);
    for (const component of components) await zeroSuperblock(system, component, signal);
  }
  const device = await freeArray(system);
  await createArray(system, { device, level: "1", name: NAME, members: paths, metadata: "1.0" }, signal);
  await settleUdev(system, signal);
  return device;
}

/** Device node of a mirror with a file system that has a part on each of the disks; null if there is none. */
export async function findEspArray(
  system: System,
  disks: readonly string[],
  signal: AbortSignal,
): Promise<string | null> {
  for (const device of await listArrays(system)) {
    const { name, holders } = await readArray(system, device, signal);
    if (name !== NAME || !disks.every((disk) => holders.includes(disk))) continue;
    if ((await probeFileSystem(system, device, signal)).type === "vfat") return device;
  }
  return null;
}

/** Fills the array with an empty file system, or with the content of the ESP at `source`, which is wiped then. */
export async function fillEspArray(
  system: System,
  array: string,
  source: string | null,
  signal: AbortSignal,
): Promise<void> {
  if (source === null) {
    await makeFat(system, array, ["-n", "efi-part"], signal);
    return;
  }
  const { uuid, label } = await probeFileSystem(system, source, signal);
  const id = uuid === null ? [] : ["-i", uuid.replaceAll("-", "")];
  await makeFat(system, array, ["-n", label ?? NAME, ...id], signal);
  {
    const fat = { type: "vfat", signal };
    await using from = await mountTemporarily(system, source, { ...fat, readOnly: true });
    await using to = await mountTemporarily(system, array, { ...fat, readOnly: false });
    await system.run(["cp", "-rT", from.path, to.path], { timeout: MKFS_TIMEOUT, signal });
  }
  await wipeSignatures(system, source, signal);
}

async function makeFat(
  system: System,
  device: string,
  options: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  await system.run(["mkfs", "-t", "vfat", ...options, device], { timeout: MKFS_TIMEOUT, signal });
}

async function freeArray(system: System): Promise<string> {
  for (let number = 0; number < MAX_ARRAYS; number++) {
    const device = `/dev/md${number}`;
    if ((await system.files.kind(device)) === null) return device;
  }
  throw new SoftwareRAIDError(`All of /dev/md0 to /dev/md${MAX_ARRAYS - 1} are taken.`);
}
