// A cleaning with the steps of a plug-in, from the file to the conductor: the whole agent, the plug-in in a process of its own, and the
// embedded conductor over TLS.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { Agent } from "../src/agent.ts";
import { loadConfiguration } from "../src/config/load.ts";
import { realStartCompanion } from "../src/system/companion.ts";
import { EmbeddedConductor } from "./kit/conductor.ts";
import type { Boot, PowerControl, PowerState } from "./kit/power.ts";
import { freePort, testMachine, testManager } from "./support/test-machine.ts";

const MAC = "52:54:00:aa:00:02";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/plugin-cleaning-`);
});
afterAll(() => rm(directory, { recursive: true }));

/** Two steps that write down that they were run, and by which version; the first wants a reboot. */
const source = (version: number) => `
  import { appendFile } from "node:fs/promises";
  import { defineStep, HardwareManager } from "ironic-agent";
  export default class Site extends HardwareManager {
    override readonly version = "${version}";
    evaluateHardwareSupport() { return 3; }
    override getCleanSteps() {
      const note = (step: string) => async () => {
        await appendFile("${directory}/notes", step + " by ${version}\\n");
        return step;
      };
      return [
        defineStep({ step: "first", priority: 30, reboot_requested: true, run: note("first") }),
        defineStep({ step: "second", priority: 20, run: note("second") }),
      ];
    }
  }`;

/** Boots an agent in this process; after the first boot, with a newer version of the plug-in. */
class AgentMachine implements PowerControl {
  boots = 0;
  #running: { readonly agent: Agent; readonly ended: Promise<number> } | null = null;

  async on(boot: Boot): Promise<void> {
    if (boot.device === "disk") return;
    this.boots += 1;
    const path = `${directory}/site.ts`;
    await writeFile(path, source(this.boots === 1 ? 1 : 2));
    const port = await freePort();
    const parameters = ["ipa-listen-host=127.0.0.1", `ipa-listen-port=${port}`, `ipa-advertise-port=${port}`];
    const kernelLine = [...boot.kernelParameters, ...parameters].join(" ");
    const system = {
      ...testMachine({
        hurry: 20,
        files: { "/proc/cmdline": `${kernelLine}\n`, [path]: "in the real file" },
      }),
      startCompanion: realStartCompanion,
    };
    const argv = ["--hardware_manager_dir", directory, "--hardware_manager_timeout", "600"];
    const loaded = await loadConfiguration({ argv, environment: {}, files: system.files });
    if (loaded.action !== "run") throw new Error(loaded.action);
    const agent = new Agent(system, loaded.config, [testManager(MAC)]);
    this.#running = { agent, ended: agent.run() };
  }

  async off(): Promise<void> {
    const running = this.#running;
    this.#running = null;
    running?.agent.stop();
    await running?.ended;
  }

  async state(): Promise<PowerState> {
    return this.#running === null ? "power off" : "power on";
  }
}

test("a plug-in that changes in the middle of a cleaning makes the conductor start it over", async () => {
  await using conductor = EmbeddedConductor.start({
    settings: {
      heartbeatTimeout: 1000,
      powerOffInterval: 50,
      requireTls: true,
      tokenOnGet: true,
      progressInterval: 0,
    },
  });
  const machine = new AgentMachine();
  const node = conductor.enrol({ uuid: "1be26c0b-03f2-4d2e-ae87-c02d7f33c124", macs: [MAC] }, machine);
  await conductor.clean(node);
  expect((await readFile(`${directory}/notes`, "utf8")).trimEnd().split("\n")).toEqual([
    "first by 1",
    // After the reboot Ironic asks for the second step of version 1, is told of the mismatch, and begins again.
    "first by 2",
    "second by 2",
  ]);
  expect(machine.boots).toBe(3);
  expect(node.provisionState).toBe("available");
}, 60_000);
