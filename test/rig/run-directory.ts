// A directory for the disks and logs of one run, below .cache, which git ignores.

import { mkdir, mkdtemp } from "node:fs/promises";
import { join, resolve } from "node:path";

const CACHE = resolve(import.meta.dir, "../../.cache");

/** A new directory below .cache/`kind`, named by the time. */
export async function makeRunDirectory(kind: string): Promise<string> {
  await mkdir(join(CACHE, kind), { recursive: true });
  const time = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  return await mkdtemp(join(CACHE, kind, `${time}-`));
}
