// The rig's cache under .cache/rig: directories named by a hash of everything that went into them. A build happens
// beside its final place and is renamed at the end, so an interrupted one leaves nothing that looks finished.

import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join, resolve } from "node:path";
import { isAlive } from "./programs.ts";

/** Everything the rig keeps is below this directory, which git ignores. */
export const CACHE_DIRECTORY = resolve(import.meta.dir, "../../.cache/rig");

/** Another checkout's state, or a running demo, may still be served from an older directory. */
const UNUSED_MS = 24 * 60 * 60 * 1000;

/** Short hash over strings and file contents, in order. */
export async function cacheKey(parts: readonly string[], files: readonly string[] = []): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  for (const part of parts) hasher.update(`${part.length}:${part}`);
  for (const file of files) hasher.update(await Bun.file(file).bytes());
  return hasher.digest("hex").slice(0, 16);
}

/**
 * The directory `<kind>-<key>`, built by `build` into an empty directory when it is missing or `fresh`. `build` also gets
 * the name of a log file, which is kept only when it throws.
 */
export async function cached(
  kind: string,
  key: string,
  options: { fresh?: boolean; cache?: string },
  build: (directory: string, logFile: string) => Promise<void>,
): Promise<string> {
  const cache = options.cache ?? CACHE_DIRECTORY;
  const final = join(cache, `${kind}-${key}`);
  if (existsSync(final) && options.fresh !== true) {
    await utimes(final, new Date(), new Date());
    return final;
  }
  await removeUnused(cache, kind);
  const work = join(cache, `building-${process.pid}-${kind}`);
  const logFile = join(cache, "logs", `${kind}-${process.pid}.log`);
  await mkdir(work, { recursive: true });
  try {
    await build(work, logFile);
    // Another run may have finished the same first, and uses what it has built.
    if (!existsSync(final) || options.fresh === true) {
      await rm(final, { recursive: true, force: true });
      await rename(work, final);
    }
    await rm(logFile, { force: true });
  } finally {
    await rm(work, { recursive: true, force: true, maxRetries: 5 });
  }
  return final;
}

/** Removes what runs that were killed had begun, and what nobody has used for a day. */
async function removeUnused(cache: string, kind: string): Promise<void> {
  await mkdir(cache, { recursive: true });
  for (const name of await readdir(cache)) {
    const path = join(cache, name);
    const builder = /^building-(\d+)-/.exec(name)?.[1];
    const abandoned = builder !== undefined && !isAlive(Number(builder));
    const unused = name.startsWith(`${kind}-`) && Date.now() - (await stat(path)).mtimeMs > UNUSED_MS;
    if (abandoned || unused) await rm(path, { recursive: true, force: true });
  }
}
