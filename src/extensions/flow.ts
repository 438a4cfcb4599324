// Runs several commands in a row as one, for clients other than Ironic. The children are listed nowhere and
// the first one that does not succeed ends the flow. (DEV-20: so does a version mismatch.) A flow inside a flow is
// refused as busy (control-plane specification 4.8).

import { Type } from "@sinclair/typebox";
import { AgentIsBusy, CommandExecutionError, InvalidCommandParamsError } from "../errors.ts";
import { asyncCommand, defineExtension } from "./command.ts";
import { about, jsonObject } from "./param-types.ts";

export const flow = defineExtension("flow", {
  start_flow: asyncCommand({
    summary: "Runs several commands, one after the other, as one.",
    params: Type.Object({
      flow: about(
        "Each object maps command names to their parameters, run in the order given.",
        Type.Array(Type.Record(Type.String(), jsonObject)),
      ),
    }),

    validate(params, _services, directory) {
      for (const name of params.flow.flatMap((commands) => Object.keys(commands))) {
        const extension = directory.extension(name);
        const shortName = name.slice(name.indexOf(".") + 1);
        if (!extension.commands.has(shortName))
          throw new InvalidCommandParamsError(
            `Extension ${extension.name} doesn't provide ${shortName} method`,
          );
      }
    },

    async run({ runChild }, params) {
      // Even an empty flow inside another: what a flow may hold does not depend on what that holds.
      if (runChild === null) throw new AgentIsBusy("start_flow");
      for (const [name, childParams] of params.flow.flatMap((commands) => Object.entries(commands))) {
        const result = await runChild(name, childParams);
        // The reference's text; the child's own error is in the log.
        if (result.command_status !== "SUCCEEDED") throw new CommandExecutionError(`${name} was failed`);
      }
    },
  }),
});
