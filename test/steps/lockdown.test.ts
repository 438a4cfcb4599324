// Interfaces that really go down: virtual ones, in a network namespace that this test makes and takes away again.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { takeInterfacesDown } from "../../src/steps/lockdown.ts";
import { realClock } from "../../src/system/clock.ts";
import { createLogger } from "../../src/system/log.ts";
import { createRun, type RunProgram } from "../../src/system/programs.ts";
import { recordedSystem } from "../support/recorded-system.ts";

const NAMESPACE = `lockdown-${process.pid}`;
const run = createRun(
  realClock,
  createLogger("test", "ERROR", () => {}),
);
const inside: RunProgram = (argv, options) => run(["ip", "netns", "exec", NAMESPACE, ...argv], options);

beforeAll(async () => {
  await run(["ip", "netns", "add", NAMESPACE]);
  await inside(["ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"]);
  for (const name of ["lo", "v0", "v1"]) await inside(["ip", "link", "set", name, "up"]);
});
afterAll(() => run(["ip", "netns", "del", NAMESPACE]));

async function isUp(name: string): Promise<boolean> {
  const { stdout } = await inside(["ip", "-o", "link", "show", name]);
  return /<(?:.*,)?UP(?:,.*)?>/.test(stdout);
}

// control-plane 11.98
test("every interface named goes down, one that is not there is a warning, and others stay up", async () => {
  const recorded = recordedSystem();
  expect([await isUp("lo"), await isUp("v0"), await isUp("v1")]).toEqual([true, true, true]);
  await takeInterfacesDown({ ...recorded, run: inside }, ["v0", "nosuch", "v1"]);
  expect([await isUp("lo"), await isUp("v0"), await isUp("v1")]).toEqual([true, false, false]);
  const warnings = recorded.records.filter(({ level }) => level === "WARNING").map(({ message }) => message);
  expect(warnings).toEqual([expect.stringMatching(/^Network interface nosuch stays as it is: .*nosuch/)]);
});
