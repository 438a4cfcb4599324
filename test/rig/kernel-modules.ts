// Which kernel modules a tree keeps. Debian's kernel package brings 400 MB of them; a QEMU machine with disks of any
// bus, a BMC and a network card needs a few megabytes. What is kept is told by directories and names, everything they
// depend on comes along (modules.dep), the rest is deleted.

import { readdir, readFile, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { run } from "./programs.ts";

/** Directories below kernel/ of which every module is kept. */
const KEPT_DIRECTORIES = [
  "arch/x86/crypto",
  "crypto",
  "drivers/ata",
  "drivers/block",
  "drivers/cdrom",
  "drivers/char/hw_random",
  "drivers/char/ipmi",
  "drivers/firmware",
  "drivers/md",
  "drivers/nvme",
  "drivers/rtc",
  "drivers/usb/host",
  "drivers/usb/storage",
  "drivers/virtio",
  "fs/efivarfs",
  "fs/ext4",
  "fs/fat",
  "fs/isofs",
  "fs/nls",
  "fs/xfs",
  "lib",
];

const KEPT_MODULES = [
  "8021q",
  "autofs4",
  "bonding",
  "e1000",
  "e1000e",
  "i2c_i801",
  "iTCO_wdt",
  "iscsi_target_mod",
  "iscsi_tcp",
  "net_failover",
  "scsi_transport_sas",
  "sd_mod",
  "sg",
  "sr_mod",
  "target_core_iblock",
  "usbhid",
  "virtio_net",
  "virtio_scsi",
];

/** The release of the one kernel installed in a tree. */
export async function kernelRelease(tree: string): Promise<string> {
  const releases = await readdir(join(tree, "lib/modules"));
  const [release] = releases;
  if (release === undefined || releases.length > 1) {
    throw new Error(`expected one kernel in ${tree}/lib/modules, found: ${releases.join(", ") || "none"}`);
  }
  return release;
}

/** Deletes the modules that are not needed and writes the module index again. */
export async function trimKernelModules(tree: string, release: string): Promise<void> {
  const root = join(tree, "lib/modules", release);
  const dependencies = parseModulesDep(await readFile(join(root, "modules.dep"), "utf8"));
  const kept = modulesToKeep(dependencies, KEPT_DIRECTORIES, KEPT_MODULES);
  for (const path of dependencies.keys()) {
    if (!kept.has(path)) await rm(join(root, path));
  }
  await run(["find", join(root, "kernel"), "-depth", "-type", "d", "-empty", "-delete"]);
  await run(["chroot", tree, "depmod", release]);
}

/** modules.dep: `path: dependency dependency …`, all relative to the release's directory. */
export function parseModulesDep(text: string): Map<string, string[]> {
  const dependencies = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon < 0) continue;
    const rest = line.slice(colon + 1).trim();
    dependencies.set(line.slice(0, colon), rest === "" ? [] : rest.split(/\s+/));
  }
  return dependencies;
}

/** The modules in the directories, those named (with - and _ alike), and all that these depend on. */
export function modulesToKeep(
  dependencies: ReadonlyMap<string, readonly string[]>,
  directories: readonly string[],
  names: readonly string[],
): Set<string> {
  const wanted = new Set(names.map((name) => name.replaceAll("-", "_")));
  const kept = new Set<string>();
  for (const [path, needs] of dependencies) {
    const name = basename(path)
      .replace(/\.ko(\.\w+)?$/, "")
      .replaceAll("-", "_");
    if (!wanted.has(name) && !directories.some((directory) => path.startsWith(`kernel/${directory}/`)))
      continue;
    kept.add(path);
    // depmod lists dependencies of dependencies too.
    for (const need of needs) kept.add(need);
  }
  return kept;
}
