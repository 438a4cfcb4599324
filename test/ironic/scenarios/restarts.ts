// Processes that go away in the middle of the work.

import { check } from "../check.ts";
import type { Scenario } from "../scenario.ts";

const SHELL_TIMEOUT_MS = 20_000;

export const conductorRestarted: Scenario = {
  name: "conductor-restarted",
  about: "the conductor is restarted while the agent writes the image; the deployment goes on",
  async run(stage) {
    const node = await stage.enrol();
    await node.provide();
    await node.when(
      "write image",
      () => node.deploy(),
      () => stage.site.ironic.restart(),
    );
  },
};

const OUTAGE_MS = 60_000;
const CONSOLE_TIMEOUT_MS = 120_000;

export const ironicDown: Scenario = {
  name: "ironic-down",
  about: "Ironic is down for a minute when the agent comes up: it goes on looking the node up, then cleans",
  async run(stage) {
    const { ironic } = stage.site;
    const node = await stage.enrol();
    const outage = async () => {
      await node.reaches("clean wait");
      await ironic.stop();
      const { machine } = node.managed;
      await machine.waitForConsole(/rig: .*starting the agent/, { timeout: CONSOLE_TIMEOUT_MS });
      await Bun.sleep(OUTAGE_MS);
      await ironic.launch();
      const ended = machine.consoleText().match(/rig: the agent ended/g) ?? [];
      check(ended.length === 0, "the agent that came up first still runs", `${ended.length} have ended`);
    };
    await node.when("agent starts", () => node.clean(), outage);
  },
};

export const agentByHand: Scenario = {
  name: "agent-by-hand",
  about: "the agent is started by hand with --debug in the ramdisk's shell, as the manual says, and cleans",
  async run(stage) {
    // Without it Ironic would ask for debugging itself, by a kernel parameter.
    await using _ironic = await stage.configured({ DEFAULT: { debug: false } });
    const node = await stage.enrol({ kernelParameters: "rig.agent=by-hand" });
    const startIt = async () => {
      const { machine } = node.managed;
      await machine.waitForConsole(/rig: .*left to you/, { timeout: CONSOLE_TIMEOUT_MS });
      await node.shell(
        "ironic-python-agent --debug --config-dir /etc/ironic-python-agent.d >/dev/console 2>&1 &",
      );
      await machine.waitForConsole(/ DEBUG ironic_agent/, { timeout: CONSOLE_TIMEOUT_MS });
    };
    await node.when("agent starts", () => node.clean(), startIt);
  },
};

export const agentRestarted: Scenario = {
  name: "agent-restarted",
  about:
    "the agent is killed while it writes and starts again in the same ramdisk: fails by time-out, then deploys",
  async run(stage) {
    // The restarted agent gets no token, so nothing but the conductor's patience ends the deployment.
    await using _ironic = await stage.configured({
      conductor: { deploy_callback_timeout: 60, check_provision_state_interval: 10 },
    });
    const node = await stage.enrol();
    await node.provide();
    await node.when(
      "write image",
      () => node.failsToDeploy({}, /timeout reached while waiting for callback/i),
      async () => {
        await node.managed.machine.shell("kill -KILL $(pidof ironic-python-agent)", SHELL_TIMEOUT_MS);
      },
    );
    await node.deploy();
  },
};
