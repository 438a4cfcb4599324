// Creates the arrays of a RAID configuration: chooses the disks, refuses those in use, partitions them and puts the partitions
// together. Source: hardware specification 9.3.

import { devicePath, holdersOf, kernelName } from "../disk/block-tree.ts";
import { isVirtualMedia } from "../disk/erasable.ts";
import { HostGuard } from "../disk/host-guard.ts";
import { listArrays, readArray } from "../disk/md-arrays.ts";
import { parseComponents } from "../disk/md-report.ts";
import { readSync, waitForSync } from "../disk/md-sync.ts";
import { addMember, arrayReport, createArray, stopArray, zeroSuperblock } from "../disk/mdadm.ts";
import { PartitionTableError, readPartitionTable } from "../disk/partition-table.ts";
import { partitionPath } from "../disk/partitions.ts";
import { addRaidPartition, createRaidTable, type RaidStart } from "../disk/raid-partitions.ts";
import { errorText, SoftwareRAIDError } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { diskLabel, nodeBootMode } from "./boot-mode.ts";
import { hasSoftwareDisks, type LogicalDisk, parseRaidConfiguration } from "./raid-configuration.ts";
import type { RaidContext, RaidHost } from "./raid-host.ts";
import { decideFates, skippedVolumes, withoutExisting } from "./raid-skip-list.ts";

const GIB = 2 ** 30;

/** A logical disk with what it is made of. */
type Volume = LogicalDisk & { readonly members: readonly string[] };

/** @throws SoftwareRAIDError */
export async function validateRaid(
  { node }: RaidContext,
  host: RaidHost,
  raidConfig: JsonObject,
): Promise<LogicalDisk[]> {
  const spared = await host.spared(node);
  return parseRaidConfiguration(raidConfig, node, {
    deviceCount: (await host.disks()).filter((disk) => !spared.has(disk)).length,
    hasSkipList: skippedVolumes(node).length > 0,
  });
}

/**
 * Creates the arrays.
 * @returns the configuration as it was given; `{}` if nothing in it is for software RAID
 * @throws SoftwareRAIDError, CommandExecutionError, HostDiskError
 */
export async function createRaid(
  context: RaidContext,
  host: RaidHost,
  raidConfig: JsonObject,
): Promise<JsonObject> {
  const { system, config } = context;
  if (!hasSoftwareDisks(raidConfig)) {
    system.log.debug("no logical disk is for the software controller: no array is created");
    return {};
  }
  const wanted = await validateRaid(context, host, raidConfig);
  const spared = await host.spared(context.node);
  const { logicalDisks, keptDisks } = await stillToMake(context, wanted, spared);
  if (logicalDisks.length === 0) {
    system.log.info("all arrays of the configuration are there already and are kept");
    return raidConfig;
  }
  const chosen = await chooseDisks(context, host, logicalDisks, [...keptDisks, ...spared]);
  const disks = [...new Set([...chosen.values()].flat())];
  await requireUsable(context, disks);
  await requireRoom(context, chosen);
  const starts = await makeTables(context, disks);
  const volumes = await makePartitions(context, maxLast(logicalDisks), chosen, starts);
  const arrays: string[] = [];
  for (const [index, volume] of volumes.entries()) {
    context.report({
      phase: `creating array ${index + 1} of ${volumes.length}`,
      ...{ done: index, total: volumes.length, unit: "arrays", rate: null },
    });
    const array = await makeArray(context, index, volume);
    arrays.push(array);
    if (volume.isRootVolume !== null) host.volumeCreated(array, volume.isRootVolume);
  }
  if (config.get("raid_wait_for_sync")) await waitForSync(system, arrays, context);
  await logSync(context, arrays);
  return raidConfig;
}

/** Without those that exist already and are kept, and the disks on which arrays stay. */
async function stillToMake(
  { system, node, signal }: RaidContext,
  wanted: readonly LogicalDisk[],
  spared: ReadonlySet<string>,
) {
  const skipped = skippedVolumes(node);
  if (skipped.length === 0) return { logicalDisks: wanted, keptDisks: [] };
  const arrays = [];
  for (const device of await listArrays(system)) {
    const array = await readArray(system, device, signal);
    // What is on a disk that is left alone is not this configuration's business.
    if (!array.holders.some((holder) => spared.has(holder))) arrays.push(array);
  }
  return {
    logicalDisks: withoutExisting(wanted, decideFates(arrays, skipped), skipped),
    keptDisks: arrays.flatMap(({ holders }) => holders),
  };
}

/** The disks of each logical disk. */
async function chooseDisks(
  { system }: RaidContext,
  host: RaidHost,
  logicalDisks: readonly LogicalDisk[],
  keptDisks: readonly string[],
): Promise<Map<LogicalDisk, string[]>> {
  // An array of arrays is not what anybody means, nor the medium the agent was booted with; and a new partition table
  // would be the end of an array that is kept.
  const excluded = new Set([...(await listArrays(system)), ...keptDisks]);
  const usable: string[] = [];
  for (const disk of await host.disks())
    if (!excluded.has(disk) && !(await isVirtualMedia(system, disk))) usable.push(disk);
  const chosen = new Map<LogicalDisk, string[]>();
  for (const logicalDisk of logicalDisks) {
    const disks = logicalDisk.physicalDisks === null ? usable : [];
    for (const hints of logicalDisk.physicalDisks ?? []) {
      const candidates = (await host.matching(hints)).filter((disk) => usable.includes(disk));
      const free = candidates.find((disk) => !disks.includes(disk));
      if (free === undefined)
        throw new SoftwareRAIDError(
          `No disk is left for physical_disks ${JSON.stringify(hints)}: ` +
            (candidates.length === 0
              ? `it matches none of ${usable.join(", ") || "(no disks)"}`
              : `it matches only ${candidates.join(", ")}, taken by earlier hints of the same logical disk`),
        );
      disks.push(free);
    }
    if (disks.length < 2)
      throw new SoftwareRAIDError(
        `An array needs at least two disks; there are: ${disks.join(", ") || "none"}`,
      );
    chosen.set(logicalDisk, disks);
  }
  return chosen;
}

/** Looks at all disks before the first is written to. */
async function requireUsable({ system, config }: RaidContext, disks: readonly string[]): Promise<void> {
  const guard = new HostGuard(system, { allowHostDisks: config.get("allow_host_disks") });
  for (const disk of disks) await guard.assertMayDestroy(disk, "create software RAID on");
  const inUse: string[] = [];
  for (const disk of disks) {
    const holders = await holdersOf(system, (await kernelName(system, disk)) ?? "");
    if (holders.length > 0) inUse.push(`${disk} (part of ${holders.map(devicePath).join(", ")})`);
    else if ((await partitionCount(system, disk)) > 0) inUse.push(disk);
  }
  if (inUse.length > 0)
    throw new SoftwareRAIDError(
      `Partitions were detected on devices ${inUse.join(", ")}, which are needed for software RAID. Clean the node ` +
        "(delete_configuration, then erase_devices_metadata) and try again; nothing was changed.",
    );
}

/** Sizes are those of the members' partitions, so each disk has to hold the sum of its own. */
async function requireRoom(
  { system }: RaidContext,
  chosen: ReadonlyMap<LogicalDisk, readonly string[]>,
): Promise<void> {
  const needed = new Map<string, number>();
  for (const [{ size }, disks] of chosen)
    for (const disk of disks) needed.set(disk, (needed.get(disk) ?? 0) + (size === "MAX" ? 0 : size));
  for (const [disk, gibibytes] of needed) {
    await using device = await system.blockDevices.open(disk, "read");
    if (gibibytes * GIB > device.size)
      throw new SoftwareRAIDError(
        `${disk} has ${(device.size / GIB).toFixed(1)} GiB, and the logical disks on it need ${gibibytes} GiB of each disk`,
      );
  }
}

async function partitionCount(system: RaidContext["system"], disk: string): Promise<number> {
  await using device = await system.blockDevices.open(disk, "read");
  try {
    return (await readPartitionTable(device)).partitions.length;
  } catch (error) {
    if (error instanceof PartitionTableError) return error.partitions;
    throw error;
  }
}

/** Only one can take what is left, and it takes it at the end. */
function maxLast(disks: readonly LogicalDisk[]): LogicalDisk[] {
  return [...disks.filter(({ size }) => size !== "MAX"), ...disks.filter(({ size }) => size === "MAX")];
}

async function makeTables(
  { system, node, signal }: RaidContext,
  disks: readonly string[],
): Promise<Map<string, RaidStart>> {
  const bootMode = await nodeBootMode(system, node);
  const label = diskLabel(node, bootMode, null);
  const starts = new Map<string, RaidStart>();
  for (const disk of disks)
    starts.set(disk, await createRaidTable(system, disk, { label, bootMode }, signal));
  return starts;
}

async function makePartitions(
  { system, signal }: RaidContext,
  logicalDisks: readonly LogicalDisk[],
  chosen: ReadonlyMap<LogicalDisk, readonly string[]>,
  starts: Map<string, RaidStart>,
): Promise<Volume[]> {
  const made = new Map<string, number>();
  const volumes: Volume[] = [];
  for (const logicalDisk of logicalDisks) {
    const members: string[] = [];
    for (const disk of chosen.get(logicalDisk) ?? []) {
      const start = starts.get(disk) ?? "";
      starts.set(disk, await addRaidPartition(system, disk, start, logicalDisk.size, signal));
      const number = (made.get(disk) ?? 0) + 1;
      made.set(disk, number);
      members.push(await partitionPath(system, disk, number, signal));
    }
    volumes.push({ ...logicalDisk, members });
  }
  return volumes;
}

/** @returns the device node */
async function makeArray({ system, signal }: RaidContext, index: number, volume: Volume): Promise<string> {
  const { members, level } = volume;
  await releaseStaleArrays(system, members, signal);
  const device = await freeArrayDevice(system, index);
  const name = volume.volumeName ?? `md${index}`;
  try {
    const mdLevel = level === "1+0" ? "10" : level;
    await createArray(system, { device, level: mdLevel, name, members }, signal);
    await addMissing(system, device, members, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new SoftwareRAIDError(
      `Failed to create array ${device} (${name}, level ${level}) of ${members.join(", ")}: ${errorText(error)}`,
      { cause: error },
    );
  }
  system.log.info(`created ${device} (${name}), level ${level}, of ${members.join(", ")}`);
  return device;
}

/** Partitions begin where they began last time, so udev may have put an old array together from them a moment ago. */
async function releaseStaleArrays(
  system: RaidContext["system"],
  members: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const stale = new Map<string, readonly string[]>();
  for (const member of members) {
    const holders = await holdersOf(system, (await kernelName(system, member)) ?? "");
    if (holders.length > 0) stale.set(member, holders.map(devicePath));
  }
  for (const array of new Set([...stale.values()].flat())) {
    system.log.warning(
      `stopping ${array}, which old superblocks on ${[...stale.keys()].join(", ")} brought up`,
    );
    await stopArray(system, array, signal);
  }
  for (const member of stale.keys()) await zeroSuperblock(system, member, signal);
}

/** By its number in the configuration, unless an array that is kept has that. */
async function freeArrayDevice(system: RaidContext["system"], index: number): Promise<string> {
  const taken = await listArrays(system);
  let number = index;
  while (taken.includes(`/dev/md${number}`)) number += 1;
  return `/dev/md${number}`;
}

/** mdadm has been seen to leave members out without an error. */
async function addMissing(
  system: RaidContext["system"],
  device: string,
  members: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const present = parseComponents((await arrayReport(system, device, signal)) ?? "");
  for (const member of members) {
    if (present.includes(member)) continue;
    system.log.warning(`${member} is missing in ${device} just after it was created: adding it again`);
    await addMember(system, device, member, signal);
  }
}

async function logSync({ system }: RaidContext, arrays: readonly string[]): Promise<void> {
  for (const array of arrays) {
    const sync = await readSync(system, array);
    if (sync === null) system.log.info(`${array} is in sync`);
    else
      system.log.info(
        `${array} can be used and goes on synchronising its members in the background (${sync.action}, ` +
          `${sync.done} of ${sync.total} bytes); it does not survive the loss of a disk before that is over`,
      );
  }
}
