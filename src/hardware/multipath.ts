// Disks that are reached over several paths: device-mapper's multipath map stands for the disk, and its paths are no disks of
// their own. Which devices are paths is asked of sysfs, once per map, where the reference runs two programs per device.
// Rules: hardware specification 2.3, 2.6.

import { diskOfPartition, slavesOf } from "../disk/block-tree.ts";
import { errorText } from "../errors.ts";
import { loadModules } from "../system/kernel-modules.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import type { LsblkRow } from "./lsblk.ts";

const BLOCK = "/sys/class/block";

/** Red Hat's tool that writes the first configuration. It is only looked for where it is installed. */
const MPATHCONF = "/usr/sbin/mpathconf";
const CONFIGURATION = "/etc/multipath.conf";
const MORE_CONFIGURATION = "/etc/multipath/conf.d";

/** Devices that multipath takes for paths unless its configuration says otherwise. */
const PATHS = /^(?:sd[a-z]|dasd[a-z]|nvme\d)/;

/** Seconds for one program: the paths of a SAN answer slowly. */
const TIMEOUT = 180;

/** Makes the maps, if the ramdisk has the tools. None of it has to work. */
export async function enableMultipath(system: System): Promise<void> {
  if (system.findProgram("multipath") === null) {
    system.log.debug("disks reached over several paths show as their single paths: there is no multipath");
    return;
  }
  const { files } = system;
  const configure =
    (await files.targetKind(MPATHCONF)) === "file" && (await files.targetKind(CONFIGURATION)) === null;
  if (configure) {
    const words = ["--enable", "--find_multipaths", "yes", "--with_module", "y", "--with_multipathd", "y"];
    await tolerated(system, [MPATHCONF, ...words]);
  } else {
    await loadModules(system, ["dm_multipath"], "no multipath driver");
  }
  await Promise.all([
    // Makes the maps of what is there, and ends when they are made.
    (await mayHavePaths(system)) ? tolerated(system, ["multipath"]) : null,
    // Takes over what comes later; where one runs already, this one says so and ends. It would make the maps, too, but some time after
    // its start.
    tolerated(system, ["multipathd"]),
  ]);
  for (const map of await multipathMaps(system)) system.log.info(`multipath disk ${map}`);
}

async function mayHavePaths({ files }: System): Promise<boolean> {
  if ((await files.list(BLOCK)).some((name) => PATHS.test(name))) return true;
  return (
    (await files.targetKind(CONFIGURATION)) !== null || (await files.list(MORE_CONFIGURATION)).length > 0
  );
}

/** `mpatha (dm-0) by sda, sdb` */
async function multipathMaps(system: System): Promise<string[]> {
  const { files } = system;
  const maps: string[] = [];
  for (const device of (await files.list(BLOCK)).filter((name) => name.startsWith("dm-"))) {
    const uuid = await files.readAttribute(`${BLOCK}/${device}/dm/uuid`);
    if (uuid?.startsWith("mpath-") !== true) continue;
    const name = await files.readAttribute(`${BLOCK}/${device}/dm/name`);
    maps.push(`${name} (${device}) by ${(await slavesOf(system, device)).join(", ")}`);
  }
  return maps;
}

/** The rows without the paths of multipath maps, and without the partitions that the kernel found on a path. */
export async function withoutPaths(system: System, rows: readonly LsblkRow[]): Promise<LsblkRow[]> {
  const mapOf = new Map<string, string>();
  for (const { kname, type } of rows)
    if (type === "mpath" && typeof kname === "string")
      for (const path of await slavesOf(system, kname)) mapOf.set(path, kname);
  if (mapOf.size === 0) return [...rows];
  const left: LsblkRow[] = [];
  const told = new Set<string>();
  for (const row of rows) {
    const name = typeof row.kname === "string" ? row.kname.replaceAll("/", "!") : "";
    const disk = row.type === "part" ? await diskOfPartition(system, name) : null;
    const map = mapOf.get(name) ?? (disk === null ? undefined : mapOf.get(disk));
    if (map === undefined) left.push(row);
    else if (!told.has(name)) system.log.info(`${name} is a path of the multipath disk ${map}`);
    told.add(name);
  }
  return left;
}

/** What it printed; null, with the reason in the log, if it failed. */
async function tolerated(system: System, argv: readonly string[]): Promise<string | null> {
  try {
    return (await system.run(argv, { timeout: TIMEOUT })).stdout;
  } catch (error) {
    if (!(error instanceof ProgramMissingError || error instanceof ProgramFailedError)) throw error;
    system.log.debug(`multipath: ${errorText(error)}`);
    return null;
  }
}
