// The clock at start-up: certificates need the right time, so it is set before anything else, and the operator says whether an agent
// with a wrong one is better than none (control-plane 1.2, step 11).

import { expect, test } from "bun:test";
import { Agent } from "../src/agent.ts";
import { Config } from "../src/config/config.ts";
import { loopbackOptions, testMachine, testManager } from "./support/test-machine.ts";

async function start(strict: boolean) {
  const system = testMachine({ programs: { ntpdate: { exitCode: 1, stderr: "no server suitable" } } });
  const config = Config.of({
    ...(await loopbackOptions()),
    standalone: true,
    ntp_server: "192.0.2.123",
    fail_if_clock_not_set: strict,
  });
  const agent = new Agent(system, config, [testManager("52:54:00:aa:00:01")]);
  return { agent, ended: agent.run(), system };
}

test("an agent that cannot set its clock ends with 1 if fail_if_clock_not_set is on, and says why", async () => {
  const { ended, system } = await start(true);
  expect(await ended).toBe(1);
  const errors = system.records.filter(({ level }) => level === "ERROR").map(({ message }) => message);
  expect(errors.join("\n")).toContain("Failed to sync time with 192.0.2.123");
  expect(errors.join("\n")).toContain("no server suitable");
});

test("otherwise it goes on and serves", async () => {
  const { agent, ended, system } = await start(false);
  while (agent.port === null) await Bun.sleep(2);
  expect(system.calls).toContainEqual(["ntpdate", "192.0.2.123"]);
  agent.stop();
  expect(await ended).toBe(0);
});
