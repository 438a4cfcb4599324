// An agent that has to find Ironic first: step 8 of the start-up sequence (control-plane specification 1.2 and DEV-10).

import { expect, test } from "bun:test";
import { type Answer, encode } from "dns-packet";
import { Agent } from "../src/agent.ts";
import { Config } from "../src/config/config.ts";
import type { OpenUdp } from "../src/system/udp.ts";
import { recordedSystem } from "./support/recorded-system.ts";
import { loopbackOptions, testMachine, testManager } from "./support/test-machine.ts";

const NAME = "baremetal._openstack._tcp.local";
const ANSWERS: Answer[] = [
  { type: "SRV", name: NAME, ttl: 120, data: { target: "ironic.local", port: 6385 } },
  { type: "A", name: "ironic.local", ttl: 120, data: "192.0.2.9" },
  {
    type: "TXT",
    name: NAME,
    ttl: 120,
    data: ["protocol=http", "ipa_ntp_server=192.0.2.8", "ipa_lookup_timeout=0"],
  },
];

/** No time passes, and nobody is reached. */
function timeless() {
  const { clock, http } = recordedSystem();
  return { clock, http };
}

async function agentOn(answers: Answer[] | null, values: Parameters<typeof Config.of>[0]) {
  const openUdp: OpenUdp = async ({ onDatagram }) => ({
    port: 5353,
    send: async () => {
      if (answers) onDatagram?.(encode({ type: "response", answers }), { address: "192.0.2.9", port: 5353 });
    },
    close: async () => {},
  });
  const ip = { stdout: "192.0.2.9 dev eth0 src 192.0.2.2 uid 0\n" };
  const machine = testMachine({ programs: { chronyd: {}, chronyc: {}, ip } });
  const eth0 = { interface: "eth0", family: "IPv4", address: "192.0.2.2", loopback: false } as const;
  const system = { ...machine, openUdp, networkAddresses: () => [eth0], ...timeless() };
  const config = Config.of({ ...(await loopbackOptions()), standalone: false, ...values });
  return { agent: new Agent(system, config, [testManager("52:54:00:aa:00:02")]), config, machine };
}

test("what the answer sets counts before it is read: the clock, the lookup and its patience", async () => {
  const { agent, config, machine } = await agentOn(ANSWERS, {
    api_url: "mdns",
    "mdns.allowed_overrides": ["ntp_server", "lookup_timeout"],
  });
  expect(await agent.run()).toBe(1); // nobody is at that address, and the answer leaves no time to try again
  expect(config.get("api_url")).toBe("http://192.0.2.9:6385");
  expect(machine.calls.map((argv) => argv.join(" "))).toContain("chronyd -q server 192.0.2.8 iburst");
  const messages = machine.records.map(({ message }) => message).join("\n");
  expect(messages).toContain("Lookup attempt 1 failed");
  expect(messages).toContain("Asked http://192.0.2.9:6385 for 0 s");
});

test("finding nothing ends the agent if it was told to look", async () => {
  const { agent, machine } = await agentOn(null, { api_url: "mdns" });
  expect(await agent.run()).toBe(1);
  expect(machine.records.map(({ message }) => message).join("\n")).toContain(
    "Cannot find baremetal service through multicast",
  );
});

test("finding nothing lets it serve if it only might have looked", async () => {
  const { agent, machine } = await agentOn(null, { api_url: null, "mdns.use_mdns": true });
  const ended = agent.run();
  while (agent.port === null) await Bun.sleep(1);
  expect(machine.records.map(({ message }) => message).join("\n")).toContain("Ironic was not found");
  agent.stop();
  expect(await ended).toBe(0);
});
