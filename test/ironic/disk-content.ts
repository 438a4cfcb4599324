// What is on a machine's disk, as the host reads it from the disk's file while the machine is off: what the usual tools
// would recognise there. Nothing is mounted.

import { run } from "../rig/programs.ts";

const LONGEST_TEXT = 256;
const SECTOR = 512;

/** What blkid finds at an offset: the type of a file system, a volume group, an array's member; null for nothing. */
export async function contentAt(file: string, offset: number): Promise<string | null> {
  return await tagAt(file, offset, "TYPE");
}

async function tagAt(file: string, offset: number, tag: "TYPE" | "UUID"): Promise<string | null> {
  // blkid ends with 2 when it finds nothing, but also when there is no such file.
  const script =
    '[ -r "$1" ] || exit 1; blkid --probe --offset "$2" --output value --match-tag "$3" "$1" || [ $? = 2 ]';
  const { stdout } = await run(["sh", "-c", script, "sh", file, String(offset), tag]);
  return stdout.trim() === "" ? null : stdout.trim();
}

/** The line of text at an offset; what is empty reads as "". */
export async function textAt(file: string, offset: number): Promise<string> {
  const bytes = await Bun.file(file)
    .slice(offset, offset + LONGEST_TEXT)
    .text();
  return bytes.split(/[\n\0]/)[0] ?? "";
}

/** Every signature that wipefs knows on the disk itself, partition tables included. */
export async function signaturesOn(file: string): Promise<string[]> {
  const { stdout } = await run(["wipefs", "--no-act", "--noheadings", "--output", "TYPE", file]);
  return stdout.split("\n").filter((line) => line !== "");
}

/** UUID of the array that a partition is a member of; null for none, or without the partition. */
export async function arrayOnPartition(file: string, partition: number): Promise<string | null> {
  // Like blkid, partx ends with an error both for a disk without partitions and for one that cannot be read.
  const script =
    '[ -r "$1" ] || exit 1; partx --output NR,START --raw --noheadings "$1" 2>/dev/null || [ $? = 1 ]';
  const { stdout } = await run(["sh", "-c", script, "sh", file]);
  const rows = stdout.split("\n").map((line) => line.trim().split(/\s+/));
  const start = rows.find(([number]) => number === String(partition))?.[1];
  if (start === undefined) return null;
  const offset = Number(start) * SECTOR;
  return (await contentAt(file, offset)) === "linux_raid_member" ? await tagAt(file, offset, "UUID") : null;
}

/** Where an array's data begin on one of its members, in bytes. */
export async function arrayDataOffset(member: string): Promise<number> {
  const { stdout } = await run(["mdadm", "--examine", member]);
  const sectors = /Data Offset : (\d+) sectors/.exec(stdout)?.[1];
  if (sectors === undefined) throw new Error(`no array's member: ${member}\n${stdout}`);
  return Number(sectors) * SECTOR;
}

/** What sgdisk finds wrong with a GPT: its copies, where they are, and the partitions. Null when all is well. */
export async function partitionTableProblems(file: string): Promise<string | null> {
  const { stdout } = await run(["sgdisk", "--verify", file]);
  return stdout.includes("No problems found.") ? null : stdout.trim();
}
