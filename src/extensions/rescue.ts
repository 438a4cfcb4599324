// The end of a rescue: from here on the machine belongs to its tenant, and the agent goes away.

import { Type } from "@sinclair/typebox";
import { InvalidCommandParamsError } from "../errors.ts";
import { markRescued, storeRescuePassword } from "../steps/rescue.ts";
import { refusedPassword } from "../steps/sha512-crypt.ts";
import { defineExtension, syncCommand } from "./command.ts";
import { about, optional } from "./param-types.ts";

export const rescue = defineExtension("rescue", {
  /** Synchronous although conductors do not wait for it: they want SUCCEEDED in the answer itself. */
  finalize_rescue: syncCommand({
    summary: "Stores the password of the rescue user and ends the agent.",
    params: Type.Object({
      rescue_password: about("Of the rescue user.", optional(Type.String())),
      /** Train does not send it. */
      hashed: about("True if the password is a crypt(3) hash already.", optional(Type.Boolean())),
    }),
    validate({ rescue_password: password, hashed }) {
      const reason = hashed === true ? null : refusedPassword(password ?? "");
      if (reason !== null) throw new InvalidCommandParamsError(`'rescue_password' cannot be used: ${reason}`);
    },
    async run({ services: { system, lifecycle } }, { rescue_password: password, hashed }) {
      await storeRescuePassword(system, password ?? "", hashed ?? false);
      await markRescued(system);
      lifecycle.end();
    },
  }),
});
