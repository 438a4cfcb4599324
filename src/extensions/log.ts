// The logs of a machine, for a conductor that keeps them after a failed (or, if so configured, every) operation.

import { Type } from "@sinclair/typebox";
import { collectMachineLogs } from "../hardware/machine-logs.ts";
import { defineExtension, syncCommand } from "./command.ts";

export const log = defineExtension("log", {
  collect_system_logs: syncCommand({
    summary: "The logs and the state of the machine, as a gzip-compressed tar archive in base64.",
    params: Type.Object({}),
    run: async ({ services, signal }) => ({
      system_logs: await collectMachineLogs({ ...services, signal }),
    }),
  }),
});
