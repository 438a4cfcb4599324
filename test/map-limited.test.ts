import { expect, test } from "bun:test";
import fc from "fast-check";
import { mapLimited } from "../src/map-limited.ts";
import { thrower } from "./support/rejection.ts";

test("results come in the order of the items, and never more than the limit are at work", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat({ max: 3 })), fc.integer({ min: 1, max: 5 }), async (turns, limit) => {
      let working = 0;
      let most = 0;
      const results = await mapLimited(
        [...turns.entries()],
        async ([index, waits]) => {
          most = Math.max(most, ++working);
          for (let turn = 0; turn < waits; turn++) await Promise.resolve();
          working--;
          return index;
        },
        limit,
      );
      expect(results).toEqual([...turns.keys()]);
      expect(most).toBeLessThanOrEqual(limit);
    }),
  );
});

test("a failure is thrown, and nothing more is begun", async () => {
  const begun: number[] = [];
  const work = async (item: number) => {
    begun.push(item);
    if (item === 2) throw new Error("no");
    await Promise.resolve();
  };
  expect(await thrower(mapLimited([1, 2, 3, 4, 5], work, 2))).toThrow("no");
  expect(begun.length).toBeLessThan(5);
});
