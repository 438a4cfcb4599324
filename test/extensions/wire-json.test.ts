import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { toWireJson } from "../../src/extensions/wire-json.ts";

describe("results as JSON", () => {
  test("JSON values come through unchanged", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        expect(JSON.stringify(toWireJson(value))).toBe(JSON.stringify(value));
      }),
    );
  });

  test("no result is null, members that are undefined are left out, as in a list they are null", () => {
    expect(toWireJson(undefined)).toBeNull();
    expect(toWireJson({ a: undefined, b: [undefined, 1] })).toEqual({ b: [null, 1] });
  });

  test("the same object twice is no cycle", () => {
    const disk = { name: "/dev/sda" };
    expect(toWireJson({ first: disk, second: [disk] })).toEqual({ first: disk, second: [disk] });
  });

  const cycle: { list: unknown[] } = { list: [] };
  cycle.list.push(cycle);
  const impossible: [unknown, string][] = [
    [{ sizes: [1n] }, "the result.sizes[0] is a bigint, which JSON cannot hold"],
    [{ run: () => 1 }, "the result.run is a function, which JSON cannot hold"],
    [new Map([["a", 1]]), "the result is a Map, which JSON cannot hold"],
    [{ at: new Date(0) }, "the result.at is a Date, which JSON cannot hold"],
    [{ rate: Number.NaN }, "the result.rate is NaN, which JSON cannot hold"],
    [Symbol("x"), "the result is a symbol, which JSON cannot hold"],
    [cycle, "the result.list[0] contains itself, which JSON cannot hold"],
  ];
  test.each(impossible.map(([value, message]) => ({ value, message })))("$message", ({ value, message }) => {
    expect(() => toWireJson(value)).toThrow(new TypeError(message));
  });
});
