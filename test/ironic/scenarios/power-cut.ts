// Somebody pulls the plug while the agent writes: nothing may boot from the disk then, and the next deployment has to work.

import { check } from "../check.ts";
import { signaturesOn } from "../disk-content.ts";
import type { Scenario } from "../scenario.ts";

const PROGRESS_TIMEOUT_MS = 120_000;

// deploy 11.96
export const powerCut: Scenario = {
  name: "power-cut",
  about:
    "the plug is pulled in the middle of the write: nothing is left that boots; the next deployment works",
  async run(stage) {
    await using _ironic = await stage.configured({
      conductor: { deploy_callback_timeout: 60, check_provision_state_interval: 10 },
    });
    const node = await stage.enrol();
    const { machine } = node.managed;
    const [disk = ""] = machine.diskFiles;
    await node.provide();
    await node.when(
      "write image",
      () => node.failsToDeploy({}, /timeout reached while waiting for callback/i),
      async () => {
        await machine.waitForConsole(/streaming image/, { timeout: PROGRESS_TIMEOUT_MS });
        await Bun.sleep(8_000);
        await machine.powerOff();
        const signatures = await signaturesOn(disk);
        check(signatures.length === 0, "nothing is recognised on the disk", signatures.join(", "));
      },
    );
    await node.deploy();
  },
};
