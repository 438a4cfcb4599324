// Fast track: an agent that has cleaned a machine waits there and deploys it, without a reboot in between.

import { check } from "../check.ts";
import type { Scenario } from "../scenario.ts";

export const fastTrack: Scenario = {
  name: "fast-track",
  about: "cleaned and deployed by the same agent: the machine stays on in between",
  async run(stage) {
    const node = await stage.enrol({ driverInfo: { fast_track: true } });
    const { machine } = node.managed;
    await node.clean();
    const { power_state } = await node.managed.record();
    check(power_state === "power on", "the machine is on after cleaning", String(power_state));
    let bootsWhileWriting = 0;
    await node.when(
      "write image",
      () => node.deploy(),
      async () => {
        bootsWhileWriting = machine.boots;
      },
    );
    check(bootsWhileWriting === 1, "one boot for cleaning and writing", String(bootsWhileWriting));
    check(machine.boots === 2, "the second boot is the deployed system's", String(machine.boots));
  },
};
