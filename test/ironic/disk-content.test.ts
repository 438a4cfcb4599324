// What is recognised on a disk, with the real tools on files.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../rig/programs.ts";
import { thrower } from "../support/rejection.ts";
import { arrayOnPartition, contentAt, partitionTableProblems, signaturesOn, textAt } from "./disk-content.ts";

const MIB = 1024 ** 2;

let directory: string;
let disk: string;
let empty: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "disk-content-test-"));
  disk = join(directory, "disk");
  empty = join(directory, "empty");
  for (const file of [disk, empty]) {
    await writeFile(file, "");
    await truncate(file, 32 * MIB);
  }
  await run(["sgdisk", "--clear", "--new", "1:4MiB:+16MiB", disk]);
  await run(["mke2fs", "-q", "-F", "-t", "ext4", "-E", `offset=${4 * MIB}`, disk, "16M"]);
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

test("a partition table is seen with both its copies and its protective MBR", async () => {
  expect((await signaturesOn(disk)).sort()).toEqual(["PMBR", "gpt", "gpt"]);
  expect(await signaturesOn(empty)).toEqual([]);
});

test("a file system is seen where it begins, and nowhere else", async () => {
  expect(await contentAt(disk, 4 * MIB)).toBe("ext4");
  expect(await contentAt(disk, 24 * MIB)).toBeNull();
  expect(await contentAt(empty, 0)).toBeNull();
});

test("a disk that is not there is an error, not an empty one", async () => {
  expect(await thrower(contentAt(join(directory, "missing"), 0))).toThrow();
  expect(await thrower(signaturesOn(join(directory, "missing")))).toThrow();
});

test("a partition table whose second copy is not at the end of the disk has a problem", async () => {
  expect(await partitionTableProblems(disk)).toBeNull();
  const grown = join(directory, "grown");
  await run(["cp", disk, grown]);
  await truncate(grown, 64 * MIB);
  expect(await partitionTableProblems(grown)).toContain("end of the disk");
});

test("a line of text at an offset, and none", async () => {
  const file = join(directory, "text");
  await writeFile(file, `${"\0".repeat(4096)}one line\nanother`);
  expect(await textAt(file, 4096)).toBe("one line");
  expect(await textAt(file, 0)).toBe("");
  expect(await textAt(file, 1_000_000)).toBe("");
});

test("a partition that belongs to no array, one that does not exist, and a disk without partitions", async () => {
  expect(await arrayOnPartition(disk, 1)).toBeNull();
  expect(await arrayOnPartition(disk, 2)).toBeNull();
  expect(await arrayOnPartition(empty, 1)).toBeNull();
  expect(await thrower(arrayOnPartition(join(directory, "none"), 1))).toThrow("failed with exit code 1");
});
