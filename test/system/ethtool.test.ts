import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { realPermanentAddress, realSupportedLinkModes } from "../../src/system/ethtool.ts";
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

describe("the burned-in address of an interface", () => {
  test("is unknown where there is none of the name, and of the loopback interface", () => {
    for (const name of ["nosuch0", "", "an-interface-with-a-long-name", "lo"])
      expect(realPermanentAddress(name)).toBeNull();
  });

  // Whatever cards this machine has: iproute2 asks the kernel in another way, and tells the address only where it is not in use.
  test("is what iproute2 says of this machine's cards", async () => {
    const child = Bun.spawn(["ip", "-j", "link"], { stdout: "pipe" });
    const links = (await new Response(child.stdout).json()) as Record<string, string>[];
    const cards = links.filter(({ ifname }) => existsSync(`/sys/class/net/${ifname}/device`));
    for (const { ifname = "", address, permaddr } of cards) {
      const burnedIn = realPermanentAddress(ifname);
      if (burnedIn !== null) expect(burnedIn).toBe(permaddr ?? address ?? "");
      else expect(permaddr).toBeUndefined();
    }
  });
});
