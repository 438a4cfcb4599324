// What the operator wants of software RAID: the node's target_raid_config as Ironic sends it, checked as a whole so that one look at
// the error is enough to mend it. Source: hardware specification 9.1, 9.2.

import type { RaidSize } from "../disk/raid-partitions.ts";
import { SoftwareRAIDError } from "../errors.ts";
import { isJsonObject, type Json, type JsonObject, member } from "../json.ts";

export type LogicalDisk = {
  /** 0, 1, 1+0, 5 or 6. */
  readonly level: string;
  /** GiB of each member's partition, not of the array. */
  readonly size: RaidSize;
  /** Root device hints, one set for each member; null takes all disks. */
  readonly physicalDisks: readonly JsonObject[] | null;
  /** The array's name; null gives it one by its number. */
  readonly volumeName: string | null;
  /** Null: the operator does not say. */
  readonly isRootVolume: boolean | null;
};

export type RaidSurroundings = {
  /** Disks and arrays of the machine, for the levels that need several. */
  readonly deviceCount: number;
  /** True when some arrays are to be kept: then the others must be told from them by name. */
  readonly hasSkipList: boolean;
};

const LEVELS = ["0", "1", "1+0", "5", "6"];
/** Members that a level needs at least. */
const MINIMUM: Readonly<Record<string, number>> = { "5": 3, "6": 4 };

/** False: the configuration is another controller's, and nothing in it is for this agent. */
export function hasSoftwareDisks(raidConfig: JsonObject): boolean {
  const disks = raidConfig.logical_disks;
  return Array.isArray(disks) && disks.some((disk) => member(disk, "controller") === "software");
}

/**
 * @throws SoftwareRAIDError naming the node and everything that is wrong with its configuration
 */
export function parseRaidConfiguration(
  raidConfig: JsonObject,
  node: JsonObject,
  surroundings: RaidSurroundings,
): LogicalDisk[] {
  const uuid = String(node.uuid ?? "(unknown)");
  const disks = raidConfig.logical_disks;
  if (!Array.isArray(disks))
    throw new SoftwareRAIDError(`The RAID configuration of node ${uuid} is invalid: it has no logical_disks`);
  const problems = [
    ...(disks.length === 1 || disks.length === 2
      ? []
      : [`software RAID needs one or two logical disks, not ${disks.length}`]),
    ...disks.flatMap((disk, index) => diskProblems(disk, index, surroundings)),
    ...commonProblems(disks.filter(isJsonObject), surroundings),
  ];
  if (problems.length > 0)
    throw new SoftwareRAIDError(`The RAID configuration of node ${uuid} is invalid: ${problems.join("; ")}`);
  return disks.filter(isJsonObject).map(logicalDisk);
}

/** As the disk says it; only after it was found right. */
function logicalDisk(disk: JsonObject): LogicalDisk {
  const { raid_level, size_gb, physical_disks, volume_name, is_root_volume } = disk;
  return {
    level: String(raid_level),
    size: typeof size_gb === "number" ? size_gb : "MAX",
    physicalDisks: Array.isArray(physical_disks) ? physical_disks.filter(isJsonObject) : null,
    volumeName: typeof volume_name === "string" && volume_name !== "" ? volume_name : null,
    isRootVolume: typeof is_root_volume === "boolean" ? is_root_volume : null,
  };
}

function diskProblems(disk: Json, index: number, { hasSkipList }: RaidSurroundings): string[] {
  const which = `logical disk ${index}`;
  if (!isJsonObject(disk)) return [`${which} is not an object`];
  const problems: string[] = [];
  const { controller, raid_level, size_gb, physical_disks, volume_name, is_root_volume } = disk;
  if (controller !== "software")
    problems.push(`${which}: controller must be "software", not ${shown(controller)}`);
  if (typeof raid_level !== "string" || !LEVELS.includes(raid_level))
    problems.push(`${which}: raid_level must be one of ${LEVELS.join(", ")}, not ${shown(raid_level)}`);
  else if (index === 0 && raid_level !== "1")
    problems.push(`${which}: the first logical disk must be of level 1, not ${raid_level}`);
  const isSize = typeof size_gb === "number" && Number.isInteger(size_gb) && size_gb > 0;
  if (!isSize && size_gb !== "MAX")
    problems.push(`${which}: size_gb must be a whole number of GiB or "MAX", not ${shown(size_gb)}`);
  if (volume_name !== undefined && volume_name !== null && !isVolumeName(volume_name))
    problems.push(`${which}: volume_name must be 1 to 32 letters, digits, dots, dashes or underscores`);
  if (hasSkipList && !isVolumeName(volume_name))
    problems.push(`${which}: volume_name is needed, because skip_block_devices names arrays to keep`);
  if (is_root_volume !== undefined && is_root_volume !== null && typeof is_root_volume !== "boolean")
    problems.push(`${which}: is_root_volume must be true or false`);
  if (physical_disks !== undefined && physical_disks !== null) {
    if (!Array.isArray(physical_disks) || physical_disks.length < 2)
      problems.push(`${which}: physical_disks must be a list of at least 2 sets of hints`);
    if (Array.isArray(physical_disks) && !physical_disks.every(isJsonObject))
      problems.push(`${which}: each of physical_disks must be an object of root device hints`);
  }
  return problems;
}

/** What mdadm keeps of a name, without what would make a path or an option of it. */
function isVolumeName(value: Json | undefined): boolean {
  return typeof value === "string" && /^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,31}$/.test(value);
}

function commonProblems(disks: readonly JsonObject[], { deviceCount }: RaidSurroundings): string[] {
  const problems: string[] = [];
  const names = disks.map((disk) => disk.volume_name).filter((name) => typeof name === "string");
  const repeated = names.filter((name, index) => names.indexOf(name) < index);
  if (repeated.length > 0) problems.push(`volume_name ${repeated.join(", ")} is given more than once`);
  if (disks.filter((disk) => disk.is_root_volume === true).length > 1)
    problems.push("only one logical disk can be the root volume");
  const [, second] = disks;
  if (second === undefined || disks.length !== 2) return problems;
  if (disks.every((disk) => disk.size_gb === "MAX"))
    problems.push('only one of two logical disks can have the size "MAX"');
  const level = second.raid_level;
  const needed = typeof level === "string" ? (MINIMUM[level] ?? 0) : 0;
  if (deviceCount < needed)
    problems.push(`level ${level} needs at least ${needed} disks, and the machine has ${deviceCount}`);
  return problems;
}

function shown(value: Json | undefined): string {
  return value === undefined ? "missing" : JSON.stringify(value);
}
