// For tools that drive a standalone agent without Ironic: they ask for the inventory and tell it its node.

import { Type } from "@sinclair/typebox";
import { InvalidCommandError } from "../errors.ts";
import { defineExtension, syncCommand } from "./command.ts";
import { about, jsonObject } from "./param-types.ts";

export const poll = defineExtension("poll", {
  get_hardware_info: syncCommand({
    summary: "The inventory of the hardware, looked up anew.",
    params: Type.Object({}),
    run: ({ services }) => services.managers.inventory({ useCache: false }),
  }),

  set_node_info: syncCommand({
    summary: "Tells a standalone agent its node, as a lookup would.",
    params: Type.Object({ node_info: about("A lookup answer, with `node` and `config`.", jsonObject) }),
    async run({ services }, { node_info }) {
      if (!services.config.get("standalone"))
        throw new InvalidCommandError(
          "Node lookup data can only be set when the Ironic Python Agent is running in standalone mode.",
        );
      await services.applyLookup(node_info);
    },
  }),
});
