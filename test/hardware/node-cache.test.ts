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

// contract 10.43, 3.1: unmasked in execute_deploy_step alone, as text or as an object
test.each(["H4sIAAAA", { meta_data: {} }])("a config drive is not kept: %j", async (configdrive) => {
  const { cache } = cacheWithCounter();
  const given = { uuid: "a", instance_info: { image_source: "i", configdrive } };
  await cache.cache(given);
  expect(cache.current).toEqual({
    uuid: "a",
    instance_info: { image_source: "i", configdrive: "******" },
  });
  expect(given.instance_info.configdrive).toBe(configdrive);
  const without = { uuid: "a", instance_info: { configdrive: null } };
  await cache.cache(without);
  expect(cache.current).toBe(without);
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
