// The end of a deployment of a node that Ironic may not power off: the agent stays, but nobody can reach it any more.

import { Type } from "@sinclair/typebox";
import { assertMayLockDown } from "../steps/lockdown.ts";
import { defineExtension, syncCommand } from "./command.ts";

export const system = defineExtension("system", {
  lockdown: syncCommand({
    summary: "Stops the API and the heartbeats and takes the network interfaces down; the process stays.",
    params: Type.Object({}),
    async run({ services: { system: machine, config, lifecycle } }) {
      await assertMayLockDown(machine, config);
      lifecycle.lockDown();
    },
  }),
});
