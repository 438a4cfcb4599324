import { expect, test } from "bun:test";
import { realResolveHost } from "../../src/system/resolver.ts";
import { thrower } from "../support/rejection.ts";

test("literal addresses resolve to themselves, names by the machine's resolver, unknown ones are named", async () => {
  expect(await realResolveHost("192.0.2.7")).toEqual(["192.0.2.7"]);
  expect(await realResolveHost("2001:db8::7")).toEqual(["2001:db8::7"]);
  expect(await realResolveHost("localhost")).toContainEqual(expect.stringMatching(/^(127\.0\.0\.1|::1)$/));
  const tooLong = `${"x".repeat(70)}.example`; // refused by the resolver before it asks anybody
  expect(await thrower(realResolveHost(tooLong))).toThrow(tooLong);
});
