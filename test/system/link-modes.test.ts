import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { realSupportedLinkModes } from "../../src/system/link-modes.ts";
import { inNetworkNamespace, noNetworkNamespace } from "../support/network-namespace.ts";

describe("the link modes of an interface", () => {
  test("are unknown where there is none of the name, or none can be", () => {
    for (const name of ["nosuch0", "", "an-interface-with-a-long-name", "ünïcödé-ñame-x"])
      expect(realSupportedLinkModes(name)).toBeNull();
  });

  test("are unknown of the loopback interface, whose driver tells nothing", () => {
    expect(realSupportedLinkModes("lo")).toBeNull();
  });

  // A virtual cable's driver answers, and names none; real ones: hardware/network-interfaces.test.ts.
  test.skipIf(noNetworkNamespace !== null)("are none on a virtual cable", async () => {
    expect(await inNetworkNamespace(join(import.meta.dir, "raw-socket-inside.ts"), "linkModes")).toEqual([]);
  });
});
