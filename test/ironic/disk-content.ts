// What is on a machine's disk, as the host reads it from the disk's file while the machine is off: what the usual tools
// would recognise there. Nothing is mounted.

import { run } from "../rig/programs.ts";

const LONGEST_TEXT = 256;

/** What blkid finds at an offset: the type of a file system, a volume group, an array's member; null for nothing. */
export async function contentAt(file: string, offset: number): Promise<string | null> {
  // blkid ends with 2 when it finds nothing, but also when there is no such file.
  const script =
    '[ -r "$1" ] || exit 1; blkid --probe --offset "$2" --output value --match-tag TYPE "$1" || [ $? = 2 ]';
  const { stdout } = await run(["sh", "-c", script, "sh", file, String(offset)]);
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

/** Where an array's data begin on one of its members, in bytes. */
export async function arrayDataOffset(member: string): Promise<number> {
  const { stdout } = await run(["mdadm", "--examine", member]);
  const sectors = /Data Offset : (\d+) sectors/.exec(stdout)?.[1];
  if (sectors === undefined) throw new Error(`no array's member: ${member}\n${stdout}`);
  return Number(sectors) * 512;
}

/** What sgdisk finds wrong with a GPT: its copies, where they are, and the partitions. Null when all is well. */
export async function partitionTableProblems(file: string): Promise<string | null> {
  const { stdout } = await run(["sgdisk", "--verify", file]);
  return stdout.includes("No problems found.") ? null : stdout.trim();
}
