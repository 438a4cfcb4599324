// An agent and the embedded conductor, over TLS, from the kernel line of the ramdisk until the plug is pulled. The conductor
// drops heartbeats that come while it holds the node's lock, as Ironic does, so the timing of forced ones counts.

import { expect, test } from "bun:test";
import { Agent } from "../src/agent.ts";
import { loadConfiguration } from "../src/config/load.ts";
import type { Step } from "../src/steps/step.ts";
import { EmbeddedConductor } from "./kit/conductor.ts";
import type { ConductorEvent } from "./kit/events.ts";
import type { Boot, PowerControl, PowerState } from "./kit/power.ts";
import { freePort, testMachine, testManager } from "./support/test-machine.ts";

const MAC = "52:54:00:aa:00:01";
/** How much faster than real time the agent lives: the conductor's own work takes no time worth mentioning. */
const HURRY = 20;

/** A machine whose "ramdisk" is an agent in this process, started with the kernel parameters of the conductor. */
class AgentMachine implements PowerControl {
  readonly done: string[] = [];
  readonly endings: number[] = [];
  #running: { readonly agent: Agent; readonly ended: Promise<number> } | null = null;

  async on(boot: Boot): Promise<void> {
    if (boot.device === "disk") return;
    const port = await freePort();
    const kernelLine = [
      ...boot.kernelParameters,
      "ipa-listen-host=127.0.0.1",
      `ipa-listen-port=${port}`,
      `ipa-advertise-port=${port}`,
    ].join(" ");
    const system = testMachine({
      hurry: HURRY,
      files: { "/proc/cmdline": `${kernelLine}\n` },
    });
    const loaded = await loadConfiguration({ argv: [], environment: {}, files: system.files });
    if (loaded.action !== "run") throw new Error(loaded.action);
    const agent = new Agent(system, loaded.config, [testManager(MAC, () => ({ clean: this.#steps() }))]);
    this.#running = { agent, ended: agent.run() };
  }

  async off(): Promise<void> {
    const running = this.#running;
    this.#running = null;
    running?.agent.stop();
    if (running !== null) this.endings.push(await running.ended);
  }

  async state(): Promise<PowerState> {
    return this.#running === null ? "power off" : "power on";
  }

  /** Over in no time, which is when a heartbeat is lost most easily; the second wants a reboot after it. */
  #steps(): Step[] {
    return [30, 20, 10].map((priority) => ({
      step: `step_${priority}`,
      priority,
      interface: "deploy",
      reboot_requested: priority === 20,
      run: async () => {
        this.done.push(`step_${priority}`);
        return null;
      },
    }));
  }
}

test("automated cleaning with a reboot in the middle, driven by forced heartbeats alone", async () => {
  const events: ConductorEvent[] = [];
  await using conductor = EmbeddedConductor.start({
    settings: {
      // Regular heartbeats would come after hours, even in the agent's time.
      heartbeatTimeout: 1_000_000,
      powerOffInterval: 50,
      requireTls: true,
      tokenOnGet: true,
      progressInterval: 0,
    },
  });
  conductor.observe((event) => events.push(event));
  const machine = new AgentMachine();
  const node = conductor.enrol({ uuid: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", macs: [MAC] }, machine);

  await conductor.clean(node);

  expect(machine.done).toEqual(["step_30", "step_20", "step_10"]);
  expect(node.provisionState).toBe("available");
  expect(await machine.state()).toBe("power off");
  const of = <T extends ConductorEvent["type"]>(type: T) =>
    events.filter((event): event is Extract<ConductorEvent, { type: T }> => event.type === type);
  expect(of("lookup").map(({ status, version }) => [status, version])).toEqual([
    [200, "1.62"],
    [200, "1.62"],
  ]);
  expect(of("heartbeat-refused")).toEqual([]);
  expect(of("warning")).toEqual([]);
  for (const { callbackUrl, agentVerifyCa } of of("heartbeat")) {
    expect(callbackUrl).toStartWith("https://127.0.0.1:");
    expect(agentVerifyCa).toStartWith("-----BEGIN CERTIFICATE-----");
  }
  expect(machine.endings.every((code) => code === 0)).toBe(true);
});
