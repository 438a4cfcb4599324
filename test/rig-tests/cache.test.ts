import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cached, cacheKey } from "../rig/cache.ts";
import { thrower } from "../support/rejection.ts";

let cache = "";
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), "cache-test-"));
});
afterEach(() => rm(cache, { recursive: true }));

/** Builds a directory with one file; counts in it how often that was done. */
function builder() {
  let builds = 0;
  return async (directory: string) => {
    await writeFile(join(directory, "file"), `build ${++builds}`);
  };
}

const content = (directory: string) => readFile(join(directory, "file"), "utf8");

test("what is there is not built again, except when asked for", async () => {
  const build = builder();
  const directory = await cached("thing", "1", { cache }, build);
  expect(await cached("thing", "1", { cache }, build)).toBe(directory);
  expect(await content(directory)).toBe("build 1");
  await cached("thing", "1", { cache, fresh: true }, build);
  expect(await content(directory)).toBe("build 2");
});

test("a failed build leaves its log and nothing that looks finished", async () => {
  let log = "";
  const build = async (directory: string, logFile: string) => {
    log = logFile;
    await mkdir(dirname(logFile), { recursive: true });
    await appendFile(logFile, "what went wrong");
    await writeFile(join(directory, "half"), "");
    throw new Error("no space left");
  };
  expect(await thrower(cached("thing", "1", { cache }, build))).toThrow("no space left");
  expect(await readdir(cache)).toEqual(["logs"]);
  expect(await readFile(log, "utf8")).toBe("what went wrong");
  // A failed second attempt with `fresh` does not cost the good one of before.
  const good = await cached("thing", "1", { cache }, builder());
  expect(await thrower(cached("thing", "1", { cache, fresh: true }, build))).toThrow("no space left");
  expect(await content(good)).toBe("build 1");
});

test("two runs that build the same at the same time both get the one that was finished first", async () => {
  const slow = Promise.withResolvers<void>();
  const waiting = cached("thing", "1", { cache }, async (directory) => {
    await slow.promise;
    await writeFile(join(directory, "file"), "late");
  });
  await Bun.sleep(0);
  // The other run is another process, with a work directory of its own.
  const first = join(cache, "thing-1");
  await mkdir(first);
  await writeFile(join(first, "file"), "early");
  slow.resolve();
  expect(await content(await waiting)).toBe("early");
});

test("a build removes what nobody has used for a day and what killed runs have left, nothing else", async () => {
  const names = [
    "thing-old",
    "thing-recent",
    "other-old",
    "building-999999999-thing",
    `building-${process.pid}-other`,
  ];
  for (const name of names) await mkdir(join(cache, name));
  const twoDaysAgo = new Date(Date.now() - 2 * 24 * 60 * 60 * 1000);
  for (const name of ["thing-old", "other-old"]) await utimes(join(cache, name), twoDaysAgo, twoDaysAgo);
  await cached("thing", "new", { cache }, builder());
  const left = (await readdir(cache)).sort();
  expect(left).toEqual([`building-${process.pid}-other`, "other-old", "thing-new", "thing-recent"].sort());
});

test("being used keeps a directory from being removed", async () => {
  const directory = await cached("thing", "1", { cache }, builder());
  const twoDaysAgo = new Date(Date.now() - 2 * 24 * 60 * 60 * 1000);
  await utimes(directory, twoDaysAgo, twoDaysAgo);
  await cached("thing", "1", { cache }, builder());
  await cached("thing", "2", { cache }, builder());
  expect(existsSync(directory)).toBe(true);
});

test("a key depends on every part, on where one ends, and on the files' content", async () => {
  const file = join(cache, "input");
  await writeFile(file, "a");
  const key = await cacheKey(["x", "yz"], [file]);
  expect(await cacheKey(["x", "yz"], [file])).toBe(key);
  expect(await cacheKey(["xy", "z"], [file])).not.toBe(key);
  await writeFile(file, "b");
  expect(await cacheKey(["x", "yz"], [file])).not.toBe(key);
});
