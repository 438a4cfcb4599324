// Real frames on virtual cables, in network namespaces of the tests' own.

import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { inNetworkNamespace, noNetworkNamespace } from "../support/network-namespace.ts";

const INSIDE = join(import.meta.dir, "raw-socket-inside.ts");
const HEADER = "0180c200000e02000000000188cc";

describe.skipIf(noNetworkNamespace !== null)("capturing frames", () => {
  test("one frame of the protocol from each interface, however many come, and none from a silent one", async () => {
    const result = await inNetworkNamespace(INSIDE, "several");
    expect(result).toEqual({
      during: 1,
      received: [`card0 ${HEADER}0207046c6f67`, `card1 ${HEADER}${"00".repeat(1500)}`],
      waiting: ["card2"],
    });
  });

  test("a frame that comes while somebody waits ends the wait", async () => {
    expect(await inNetworkNamespace(INSIDE, "lateFrame")).toBe(1);
  });

  test("the promiscuous mode ends with the capture", async () => {
    expect(await inNetworkNamespace(INSIDE, "disposal")).toEqual({ after: 0 });
  });

  test("an interface that is down answers with the reason instead of a frame", async () => {
    expect(await inNetworkNamespace(INSIDE, "linkDown")).toEqual([
      { name: "card0", error: "Network is down" },
    ]);
  });

  test("one interface that cannot be listened on fails the capture and leaves no other promiscuous", async () => {
    expect(await inNetworkNamespace(INSIDE, "missing")).toEqual({
      message: "finding the network interface nosuch: No such device",
      left: 0,
    });
  });

  test("waiting ends with the signal's reason", async () => {
    expect(await inNetworkNamespace(INSIDE, "aborted")).toBe("told to stop");
  });
});
