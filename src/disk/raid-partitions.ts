// The partitions that the members of software RAID arrays are. In front of the first one room is left for what the boot loader code
// puts there later: an EFI system partition per disk (UEFI), or a BIOS boot partition (BIOS with GPT).
// Source: hardware specification 9.3; deploy specification 5.7.

import { CommandExecutionError, errorText, SoftwareRAIDError } from "../errors.ts";
import type { System } from "../system/system.ts";
import { settleUdev } from "./rescan.ts";

export type RaidTable = { readonly label: "gpt" | "msdos"; readonly bootMode: "uefi" | "bios" };

/** Where the next partition of a disk begins: as parted takes it for the first one, GiB after that, -1 at the end of the disk. */
export type RaidStart = string | number;

/** GiB; MAX takes what is left. */
export type RaidSize = number | "MAX";

/** Makes an empty table. @returns the start of the first partition @throws CommandExecutionError */
export async function createRaidTable(
  system: System,
  disk: string,
  { label, bootMode }: RaidTable,
  signal: AbortSignal,
): Promise<RaidStart> {
  try {
    await system.run(["parted", disk, "-s", "--", "mklabel", label], { signal });
    if (bootMode === "uefi") return "551MiB";
    if (label === "gpt") return "8MiB";
    return await firstAlignedSector(system, disk, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new CommandExecutionError(
      `Failed to create a ${label} partition table on ${disk} for software RAID: ${errorText(error)}`,
      { cause: error },
    );
  }
}

/** Of a disk with a table: the first sector of its largest free block, in parted's notation. */
async function firstAlignedSector(system: System, disk: string, signal: AbortSignal): Promise<string> {
  const { stdout } = await system.run(["sgdisk", "-F", disk], { signal });
  return parseFirstAligned(stdout);
}

/** The last line of `sgdisk -F`; before it come remarks on the table. @throws Error if that is no sector */
export function parseFirstAligned(stdout: string): string {
  const last = stdout.trim().split("\n").at(-1)?.trim() ?? "";
  if (!/^\d+$/.test(last)) throw new Error(`sgdisk -F printed no sector: ${stdout.slice(-200)}`);
  return `${last}s`;
}

/** The arguments of parted for a partition of `size`, and where the one after it begins. */
export function raidPartitionSpan(
  start: RaidStart,
  size: RaidSize,
): { readonly start: string; readonly end: string; readonly next: RaidStart } {
  // The front that is reserved belongs to the first partition's size: it ends at a whole number of GiB.
  const from = typeof start === "string" ? start : `${start}GiB`;
  if (size === "MAX") return { start: from, end: "-1", next: -1 };
  const end = typeof start === "string" ? size : start + size;
  return { start: from, end: `${end}GiB`, next: end };
}

/** Makes one partition. @returns the start of the next one @throws SoftwareRAIDError */
export async function addRaidPartition(
  system: System,
  disk: string,
  start: RaidStart,
  size: RaidSize,
  signal: AbortSignal,
): Promise<RaidStart> {
  const span = raidPartitionSpan(start, size);
  try {
    await system.run(
      ["parted", disk, "-s", "-a", "optimal", "--", "mkpart", "primary", span.start, span.end],
      { signal },
    );
  } catch (error) {
    signal.throwIfAborted();
    throw new SoftwareRAIDError(
      `Failed to create a RAID partition from ${span.start} to ${span.end} on ${disk}: ${errorText(error)}. Is the disk ` +
        "large enough? A disk of more than 2 TiB needs the capability disk_label:gpt, or UEFI.",
      { cause: error },
    );
  }
  await announcePartitions(system, disk, signal);
  return span.next;
}

/** parted has told the kernel already, so this normally fails with "busy"; it helps where it has not. */
async function announcePartitions(system: System, disk: string, signal: AbortSignal): Promise<void> {
  await settleUdev(system, signal);
  try {
    await system.run(["partx", "-av", disk], { signal });
  } catch (error) {
    signal.throwIfAborted();
    system.log.debug(`the kernel knows the partitions of ${disk}, most likely: ${errorText(error)}`);
  }
  await settleUdev(system, signal);
}

/** Removes one partition. @throws ProgramFailedError, ProgramMissingError */
export async function removeRaidPartition(
  system: System,
  disk: string,
  number: number,
  signal: AbortSignal,
): Promise<void> {
  await system.run(["parted", disk, "-s", "--", "rm", String(number)], { signal });
}
