// How a command ended, in the wire's terms.
// Source: ironic-python-agent extensions/base.py; control-plane specification 4.3 and 4.5.

import { asRestError, VersionMismatch } from "../errors.ts";
import { printable } from "../system/printable.ts";
import { redactText } from "../system/redact.ts";
import type { CommandResult } from "./command-result.ts";
import { toWireJson } from "./wire-json.ts";

export type Outcome = Pick<CommandResult, "command_status" | "command_error" | "command_result">;

/**
 * Plain text becomes an object, because conductors look for the key `result` (and Train splits the text of
 * `prepare_image`).
 * @throws TypeError if JSON cannot hold the value
 */
export function success(kind: "sync" | "async", commandName: string, value: unknown): Outcome {
  const result = toWireJson(value);
  const text = (plain: string) => (kind === "sync" ? plain : `${commandName}: ${plain}`);
  return {
    command_status: "SUCCEEDED",
    command_error: null,
    command_result: typeof result === "string" ? { result: text(result) } : result,
  };
}

export function failure(thrown: unknown): Outcome {
  const error = asRestError(thrown);
  return {
    // The conductor starts over from the list of steps on this status, of whatever kind the step is.
    command_status: error instanceof VersionMismatch ? "CLEAN_VERSION_MISMATCH" : "FAILED",
    // A program's command line or a server's answer in the details may hold what nobody is to read in Ironic.
    command_error: { ...error.serialize(), details: redactText(printable(error.details)) },
    command_result: null,
  };
}
