// The kernel's iSCSI target (LIO), set up through configfs: each object is a directory, each property a file in it. No other
// program has to be there. Everybody who reaches the portal may write: that is how the `iscsi` deploy interface works.
// Source: deploy specification 7.2 and 7.4, after rtslib.

import { errorText, ISCSIError } from "../errors.ts";
import type { System } from "../system/system.ts";
import { readMounts } from "./mount-table.ts";

const CONFIGFS = "/sys/kernel/config";
const TARGET = `${CONFIGFS}/target`;
const STORAGE = `${TARGET}/core`;
const FABRIC = `${TARGET}/iscsi`;
/** Of ironic-lib: the conductor looks for `…-lun-1`. */
const LUN = "lun_1";

/** What is offered, and where. */
export type TargetRequest = {
  readonly iqn: string;
  /** Device path. */
  readonly disk: string;
  readonly port: number;
};

/** This kernel has no iSCSI target, or cannot load it. */
export class LioMissingError extends Error {}

/** Loads and mounts what is missing. @throws LioMissingError saying what was tried. */
export async function openLio(system: System, signal: AbortSignal): Promise<void> {
  const problems: string[] = [];
  const attempt = async (work: () => Promise<unknown>) => {
    try {
      await work();
    } catch (error) {
      signal.throwIfAborted();
      problems.push(errorText(error));
    }
  };
  const { files } = system;
  const isThere = async (path: string) => (await files.targetKind(path)) === "directory";
  // A module may as well be a part of the kernel, and modprobe not be installed: what counts is what is there in the end.
  const load = (module: string) => attempt(() => system.run(["modprobe", module], { signal }));
  const mounts = await readMounts(system, "self");
  if (!mounts.some(({ mountPoint, fileSystem }) => mountPoint === CONFIGFS && fileSystem === "configfs")) {
    await load("configfs");
    await attempt(() => system.run(["mount", "-t", "configfs", "configfs", CONFIGFS], { signal }));
  }
  await load("target_core_mod");
  if (!(await isThere(TARGET))) await attempt(() => files.makeDirectory(TARGET));
  for (const module of ["target_core_iblock", "iscsi_target_mod"]) await load(module);
  if (!(await isThere(FABRIC))) await attempt(() => files.makeDirectory(FABRIC));
  if (!(await isThere(FABRIC)))
    throw new LioMissingError(`the kernel's iSCSI target cannot be used: ${problems.join("; ")}`);
  if (problems.length > 0) system.log.debug(`LIO works, although: ${problems.join("; ")}`);
}

/** Offers a disk as LUN 1 to whoever connects; openLio comes first. What was made is undone on failure. @throws ISCSIError */
export async function createLioTarget(system: System, { iqn, disk, port }: TargetRequest): Promise<void> {
  await using undo = new AsyncDisposableStack();
  try {
    if ((await system.files.kind(`${FABRIC}/${iqn}`)) !== null)
      throw new Error("there is a target of this name already, for another device");
    const object = await createStorage(system, { iqn, disk }, undo);
    await createTarget(system, iqn, object, undo);
  } catch (error) {
    throw new ISCSIError(`Failed to create a target: ${errorText(error)}`, { cause: error });
  }
  try {
    const everywhere = (await hasIpv6(system)) ? "[::]" : "0.0.0.0";
    await system.files.makeDirectory(`${groupOf(iqn)}/np/${everywhere}:${port}`);
  } catch (error) {
    throw new ISCSIError(`Failed to publish a target: ${errorText(error)}`, { cause: error });
  }
  undo.move();
}

/** The storage object of `disk`, by the name it was given (the target's), and its directory; null if there is none. */
export async function findLioStorage(
  system: System,
  disk: string,
): Promise<{ readonly iqn: string; readonly directory: string } | null> {
  for (const adapter of await system.files.list(STORAGE)) {
    if (!adapter.startsWith("iblock_")) continue;
    for (const name of await system.files.list(`${STORAGE}/${adapter}`)) {
      const directory = `${STORAGE}/${adapter}/${name}`;
      if ((await system.files.readAttribute(`${directory}/udev_path`)) === disk)
        return { iqn: name, directory };
    }
  }
  return null;
}

/** Takes a disk back, with whoever is logged in to it; one that is not offered is fine. @throws ISCSIError */
export async function removeLioTarget(system: System, disk: string): Promise<void> {
  const storage = await findLioStorage(system, disk);
  if (storage === null) {
    system.log.info(`${disk} is not offered over iSCSI any more`);
    return;
  }
  try {
    await removeTarget(system, storage.iqn);
    await removeStorage(system, storage.directory);
  } catch (error) {
    throw new ISCSIError(
      `Failed to delete iSCSI target ${storage.iqn} for device ${disk}: ${errorText(error)}`,
      {
        cause: error,
      },
    );
  }
}

async function createStorage(
  system: System,
  { iqn, disk }: Pick<TargetRequest, "iqn" | "disk">,
  undo: AsyncDisposableStack,
): Promise<string> {
  const { files } = system;
  const taken = new Set(await files.list(STORAGE));
  let number = 0;
  while (taken.has(`iblock_${number}`)) number++;
  const adapter = `${STORAGE}/iblock_${number}`;
  const object = `${adapter}/${iqn}`;
  await files.makeDirectory(adapter);
  undo.defer(() => tolerated(system, () => removeStorage(system, object)));
  await files.makeDirectory(object);
  await files.writeInPlace(`${object}/udev_path`, disk);
  await files.writeInPlace(`${object}/control`, `udev_path=${disk}`);
  await files.writeInPlace(`${object}/control`, "readonly=0");
  await files.writeInPlace(`${object}/enable`, "1");
  await files.writeInPlace(`${object}/wwn/vpd_unit_serial`, crypto.randomUUID());
  return object;
}

/** Without credentials, without a list of initiators. */
async function createTarget(
  system: System,
  iqn: string,
  object: string,
  undo: AsyncDisposableStack,
): Promise<void> {
  const { files } = system;
  const group = groupOf(iqn);
  undo.defer(() => tolerated(system, () => removeTarget(system, iqn)));
  await files.makeDirectory(`${FABRIC}/${iqn}`);
  await files.makeDirectory(group);
  await files.writeInPlace(`${group}/attrib/authentication`, "0");
  await files.writeInPlace(`${group}/attrib/demo_mode_write_protect`, "0");
  await files.writeInPlace(`${group}/attrib/generate_node_acls`, "1");
  await files.makeDirectory(`${group}/lun/${LUN}`);
  await files.link(`${group}/lun/${LUN}/${crypto.randomUUID().slice(-10)}`, object);
  await files.writeInPlace(`${group}/enable`, "1");
}

/** Innermost first, as configfs wants it. What is not there was never made. */
async function removeTarget(system: System, iqn: string): Promise<void> {
  const { files } = system;
  const target = `${FABRIC}/${iqn}`;
  if ((await files.kind(target)) === null) return;
  for (const name of await files.list(target)) {
    if (!name.startsWith("tpgt_")) continue;
    const group = `${target}/${name}`;
    // Ends the sessions.
    if ((await files.readAttribute(`${group}/enable`)) === "1")
      await files.writeInPlace(`${group}/enable`, "0");
    for (const acl of await directories(system, `${group}/acls`)) {
      for (const lun of await directories(system, acl))
        if (baseName(lun).startsWith("lun_")) await removeLun(system, lun);
      await files.removeDirectory(acl);
    }
    for (const lun of await directories(system, `${group}/lun`)) await removeLun(system, lun);
    for (const portal of await directories(system, `${group}/np`)) await files.removeDirectory(portal);
    await files.removeDirectory(group);
  }
  await files.removeDirectory(target);
}

async function removeLun({ files }: System, lun: string): Promise<void> {
  for (const name of await files.list(lun))
    if ((await files.kind(`${lun}/${name}`)) === "link") await files.remove(`${lun}/${name}`);
  await files.removeDirectory(lun);
}

/** The object, which closes the device, and its adapter. */
async function removeStorage({ files }: System, object: string): Promise<void> {
  if ((await files.kind(object)) !== null) await files.removeDirectory(object);
  await files.removeDirectory(object.slice(0, object.lastIndexOf("/")));
}

async function directories({ files }: System, path: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await files.list(path))
    if ((await files.kind(`${path}/${name}`)) === "directory") found.push(`${path}/${name}`);
  return found;
}

/** Undoing follows a failure that must not be hidden. */
async function tolerated(system: System, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    system.log.warning(`a part of the iSCSI target stays behind: ${errorText(error)}`);
  }
}

/** Whether sockets for IPv6 can be opened. An IPv6 portal takes IPv4 too. */
export async function hasIpv6({ files }: System): Promise<boolean> {
  return (await files.readAttribute("/proc/sys/net/ipv6/conf/default/disable_ipv6")) === "0";
}

function groupOf(iqn: string): string {
  return `${FABRIC}/${iqn}/tpgt_1`;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
