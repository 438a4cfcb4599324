// Processes that go away in the middle of the work.

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
