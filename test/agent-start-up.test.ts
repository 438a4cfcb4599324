// The start-up sequence of a whole agent on a clock that only moves when somebody sleeps: nothing of it may get lost.

import { expect, test } from "bun:test";
import { Agent } from "../src/agent.ts";
import { Config } from "../src/config/config.ts";
import type { ManagerFactory } from "../src/hardware/manager.ts";
import { recordedSystem } from "./support/recorded-system.ts";
import { loopbackOptions, testMachine, testManager } from "./support/test-machine.ts";

test("clock, hardware delay and the wait for a network card come before the API is served, in this order", async () => {
  const machine = testMachine({ programs: { chronyd: {}, chronyc: {} } });
  const timeless = recordedSystem();
  const system = { ...machine, clock: timeless.clock };
  let looks = 0;
  const lateCard: ManagerFactory = (context) => {
    const manager = testManager("52:54:00:aa:00:02")(context);
    const cards = manager.listNetworkInterfaces;
    return { ...manager, listNetworkInterfaces: async () => (++looks < 3 ? [] : ((await cards?.()) ?? [])) };
  };
  const config = Config.of({
    ...(await loopbackOptions()),
    ntp_server: "192.0.2.9",
    hardware_initialization_delay: 7,
    certfile: "/etc/client.pem",
  });
  const agent = new Agent(system, config, [lateCard]);
  const ended = agent.run();
  while (agent.port === null) await Bun.sleep(1);

  expect(machine.calls.map((argv) => argv.join(" "))).toContain("chronyd -q server 192.0.2.9 iburst");
  expect(timeless.sleeps).toEqual([7, 5, 5]);
  const messages = machine.records.map(({ message }) => message).join("\n");
  expect(messages).toContain("certfile is set but keyfile is not");
  expect(messages).toContain("No Ironic API URL is configured");
  agent.stop();
  expect(await ended).toBe(0);
});
