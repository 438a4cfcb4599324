// Takes software RAID apart: every array the machine shows, not only those of a configuration that may be lost; and the superblocks
// that an assembly would bring back. Arrays an operator wants to keep stay, with all that cannot go without them.
// Source: hardware specification 9.5, 9.6.

import { devicePath, diskOfPartition, kernelName, partitionsOf } from "../disk/block-tree.ts";
import { HostGuard } from "../disk/host-guard.ts";
import { listArrays, readArray } from "../disk/md-arrays.ts";
import { hasSuperblock, parseArrayUuid } from "../disk/md-report.ts";
import { assembleArrays, memberReport, stopArray, zeroSuperblock } from "../disk/mdadm.ts";
import { removeRaidPartition } from "../disk/raid-partitions.ts";
import { rescanPartitions, settleUdev } from "../disk/rescan.ts";
import { releaseHolders, wipeSignatures } from "../disk/wipe.ts";
import { errorText, SoftwareRAIDError } from "../errors.ts";
import type { RaidContext, RaidHost } from "./raid-host.ts";
import { type DecidedArray, decideFates, skippedVolumes } from "./raid-skip-list.ts";

const PASSES = 2;

/**
 * @throws SoftwareRAIDError if arrays are left or a component cannot be read, HostDiskError before anything is touched
 */
export async function deleteRaid(context: RaidContext, host: RaidHost): Promise<void> {
  const { system, report } = context;
  const spared = await host.spared(context.node);
  let arrays = await scan(context, spared);
  // One pass also without arrays: it clears superblocks of arrays that are not complete enough to be seen.
  for (let pass = 1; pass <= PASSES; pass += 1) {
    report({
      phase: `deleting ${arrays.length} arrays, pass ${pass}`,
      ...{ done: pass - 1, total: PASSES, unit: "passes", rate: null },
    });
    await deletePass(context, host, arrays, spared);
    arrays = await scan(context, spared);
    if (arrays.every(({ decision }) => decision.fate !== "delete")) {
      host.volumesDeleted();
      system.log.info("all software RAID arrays are deleted, but for those to be kept");
      return;
    }
  }
  const left = arrays.filter(({ decision }) => decision.fate === "delete").map(({ device }) => device);
  throw new SoftwareRAIDError(
    `Failed to delete the software RAID arrays ${left.join(", ")}: they are still there after ${PASSES} passes. What holds ` +
      "them is in the log; look at /proc/mdstat and lsblk.",
  );
}

/** All arrays, also those that were not running, with what is to become of them. */
async function scan(
  { system, node, signal }: RaidContext,
  disks: ReadonlySet<string>,
): Promise<DecidedArray[]> {
  await assembleArrays(system, signal);
  await settleUdev(system, signal);
  const arrays = [];
  for (const device of await listArrays(system)) arrays.push(await readArray(system, device, signal));
  return decideFates(arrays, skippedVolumes(node), disks);
}

async function deletePass(
  context: RaidContext,
  host: RaidHost,
  arrays: readonly DecidedArray[],
  leftAlone: ReadonlySet<string>,
): Promise<void> {
  const { system, signal } = context;
  const members = await examineAll(context, host, arrays);
  // An array also owns what is no longer in use: a failed member still carries its superblock.
  const membersOf = (array: DecidedArray) => [
    ...new Set([
      ...array.components,
      ...[...members].filter(([, uuid]) => uuid !== null && uuid === array.uuid).map(([device]) => device),
    ]),
  ];
  const protectedMembers = new Set(
    arrays.filter(({ decision }) => decision.fate !== "delete").flatMap(membersOf),
  );
  const inUse = await requireAllowed(context, host, arrays, protectedMembers);
  const holders = new Set<string>();
  const freed: string[] = [];
  for (const array of arrays) {
    if (array.decision.fate === "keep") system.log.warning(`${array.device} (${array.name}) is kept`);
    else if (array.decision.fate === "wipe") await empty(context, array);
    else if (await takeApart(context, array, membersOf(array))) {
      freed.push(...membersOf(array));
      for (const holder of array.holders) holders.add(holder);
    } else {
      for (const member of membersOf(array)) protectedMembers.add(member);
    }
  }
  const protectedDisks = new Set<string>();
  for (const member of protectedMembers) protectedDisks.add(await diskOf(system, member));
  const spared = new Set([...protectedMembers, ...protectedDisks, ...inUse, ...leftAlone]);
  const left = new Set(await listArrays(system));
  // Partitions before their disks.
  for (const device of [...(await host.devices())].reverse())
    if (!spared.has(device) && !left.has(await diskOf(system, device))) await clearStray(context, device);
  for (const disk of holders) {
    if (protectedDisks.has(disk)) await removePartitions(context, disk, freed);
    else await clearDisk(context, disk);
  }
  await settleUdev(system, signal);
}

/** UUID of the array that each component belongs to, null where mdadm names none. Arrays and plain disks are left out. */
async function examineAll(
  { system, signal }: RaidContext,
  host: RaidHost,
  arrays: readonly DecidedArray[],
): Promise<Map<string, string | null>> {
  const members = new Map<string, string | null>();
  for (const device of await host.devices()) {
    if (arrays.some((array) => array.device === device)) continue;
    try {
      const examined = await memberReport(system, device, signal);
      if (examined !== null && hasSuperblock(examined)) members.set(device, parseArrayUuid(examined));
    } catch (error) {
      signal.throwIfAborted();
      system.log.warning(`whether ${device} is part of an array cannot be told: ${errorText(error)}`);
    }
  }
  return members;
}

/**
 * Asks for everything that will be written to, before the first of it is.
 * @returns what is in use and part of no array: nothing will be written there
 */
async function requireAllowed(
  { system, config }: RaidContext,
  host: RaidHost,
  arrays: readonly DecidedArray[],
  protectedMembers: ReadonlySet<string>,
): Promise<string[]> {
  const guard = new HostGuard(system, { allowHostDisks: config.get("allow_host_disks") });
  for (const { device, decision, holders } of arrays) {
    if (decision.fate === "keep") continue;
    await guard.assertMayDestroy(device, "delete");
    for (const holder of decision.fate === "delete" ? holders : [])
      await guard.assertMayDestroy(holder, "delete software RAID on");
  }
  const inUse = [...(await guard.protectedDisks()).keys()];
  for (const device of await host.devices())
    if (!inUse.includes(device) && !protectedMembers.has(device))
      await guard.assertMayDestroy(device, "clear RAID superblocks on");
  return inUse;
}

/** The array stays as a place, because its disks stay as they are partitioned; what is on it goes. */
async function empty({ system, signal }: RaidContext, { device, decision }: DecidedArray): Promise<void> {
  const cause = decision.fate === "wipe" ? decision.cause : "";
  system.log.warning(
    `${device} shares disks with the array ${cause}, which is kept: it is emptied, not deleted`,
  );
  await tolerated(system, signal, `emptying ${device}`, () => wipeSignatures(system, device, signal));
}

/**
 * False if it does not stop: then its disks stay as they are.
 * @throws SoftwareRAIDError if a component cannot be read
 */
async function takeApart(
  { system, signal }: RaidContext,
  { device }: DecidedArray,
  members: readonly string[],
): Promise<boolean> {
  const name = await kernelName(system, device);
  // Gone with another array that was built on it.
  if (name === null) return true;
  system.log.info(`deleting ${device}, made of ${members.join(", ") || "nothing that is there"}`);
  await tolerated(system, signal, `releasing ${device}`, async () => {
    for (const part of [...(await partitionsOf(system, name)).map((partition) => partition.name), name])
      await releaseHolders(system, part, signal);
  });
  await tolerated(system, signal, `wiping ${device}`, () => wipeSignatures(system, device, signal));
  await settleUdev(system, signal);
  const stopped = await tolerated(system, signal, `stopping ${device}`, () =>
    stopArray(system, device, signal),
  );
  if (!stopped) return false;
  for (const member of members)
    if ((await kernelName(system, member)) !== null) await clearMember(system, member, signal);
  return true;
}

async function clearMember(
  system: RaidContext["system"],
  member: string,
  signal: AbortSignal,
): Promise<void> {
  let examined: string | null;
  try {
    examined = await memberReport(system, member, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new SoftwareRAIDError(
      `Failed to read the RAID superblock of ${member}, which is to be removed: ${errorText(error)}`,
      { cause: error },
    );
  }
  if (examined === null) return;
  await tolerated(system, signal, `removing the superblock of ${member}`, () =>
    zeroSuperblock(system, member, signal),
  );
}

/** A superblock of an array that could not be assembled. */
async function clearStray({ system, signal }: RaidContext, device: string): Promise<void> {
  await tolerated(system, signal, `looking for a superblock on ${device}`, async () => {
    if ((await kernelName(system, device)) === null) return;
    const examined = await memberReport(system, device, signal);
    if (examined !== null && hasSuperblock(examined)) await zeroSuperblock(system, device, signal);
  });
}

/** Nothing of the old layout stays, and the kernel learns of it. */
async function clearDisk({ system, config, signal }: RaidContext, disk: string): Promise<void> {
  await tolerated(system, signal, `wiping ${disk}`, () => wipeSignatures(system, disk, signal));
  await rescanPartitions(system, disk, { attempts: config.get("disk_utils.partprobe_attempts"), signal });
}

/** Of the partitions that deleted arrays had on a disk whose others stay. */
async function removePartitions(
  { system, signal }: RaidContext,
  disk: string,
  freed: readonly string[],
): Promise<void> {
  const name = await kernelName(system, disk);
  const partitions = await partitionsOf(system, name ?? "");
  const gone = partitions.filter((partition) => freed.includes(devicePath(partition.name)));
  if (gone.length === 0) system.log.warning(`no partition of ${disk} is free to be removed`);
  for (const { number } of gone)
    await tolerated(system, signal, `removing partition ${number} of ${disk}`, () =>
      removeRaidPartition(system, disk, number, signal),
    );
}

async function diskOf(system: RaidContext["system"], member: string): Promise<string> {
  const name = (await kernelName(system, member)) ?? member.slice("/dev/".length);
  return devicePath((await diskOfPartition(system, name)) ?? name);
}

/** False if it failed; what is left shows in the next scan. */
async function tolerated(
  system: RaidContext["system"],
  signal: AbortSignal,
  action: string,
  work: () => Promise<void>,
): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    signal.throwIfAborted();
    system.log.warning(`${action}: ${errorText(error)}`);
    return false;
  }
}
