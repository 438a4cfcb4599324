import { expect, test } from "bun:test";
import { NodeCache } from "../../src/hardware/node-cache.ts";
import { recordedSystem } from "../support/recorded-system.ts";

function cacheWithCounter() {
  const system = recordedSystem();
  const waits: number[] = [];
  const cache = new NodeCache(system.log, async () => {
    waits.push(waits.length);
  });
  return { system, cache, waits };
}

// control-plane 11.77
test("a new UUID waits for the disks, the same one only replaces the node", async () => {
  const { cache, waits } = cacheWithCounter();
  expect(cache.current).toBeNull();
  await cache.cache({ uuid: "a", name: "first" });
  expect(waits).toHaveLength(1);
  await cache.cache({ uuid: "a", name: "second" });
  expect(waits).toHaveLength(1);
  expect(cache.current).toEqual({ uuid: "a", name: "second" });
  await cache.cache({ uuid: "b" });
  expect(waits).toHaveLength(2);
});

test("the new node is there while its disks are waited for", async () => {
  const { log } = recordedSystem();
  const seen: unknown[] = [];
  const cache: NodeCache = new NodeCache(log, async () => {
    seen.push(cache.current);
  });
  await cache.cache({ uuid: "a" });
  expect(seen).toEqual([{ uuid: "a" }]);
});

test("refreshing asks with the known node; without a function nothing happens", async () => {
  const { cache } = cacheWithCounter();
  await cache.cache({ uuid: "a" });
  await cache.refresh();
  expect(cache.current).toEqual({ uuid: "a" });
  cache.refreshWith(async (known) => ({ ...known, name: "looked up" }));
  await cache.refresh();
  expect(cache.current).toEqual({ uuid: "a", name: "looked up" });
});

test("a failed refresh keeps the old node and warns", async () => {
  const { cache, system } = cacheWithCounter();
  await cache.cache({ uuid: "a" });
  cache.refreshWith(async () => {
    throw new Error("connection refused");
  });
  await cache.refresh();
  expect(cache.current).toEqual({ uuid: "a" });
  expect(system.records.map(({ level, message }) => `${level} ${message}`)).toEqual([
    "WARNING refreshing the node from Ironic: connection refused; using the one already known",
  ]);
});
