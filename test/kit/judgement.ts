// What the command list says about the step in progress. This is Ironic's process_next_step() as a pure function:
// only the last entry counts, and anything unexpected in it means "wait for the next heartbeat", for ever if need be.

import { isJsonObject, type Json } from "../../src/json.ts";
import type { Command } from "./agent-client.ts";
import { type Step, type StepKind, sameStep } from "./node.ts";

export type Judgement =
  /** The ramdisk has just started: nothing was run yet, or the machine was rebooted on purpose. */
  | { verdict: "fresh" }
  /** `reason` says what the conductor is waiting for. */
  | { verdict: "wait"; reason: string }
  | { verdict: "succeeded"; result: Json }
  | { verdict: "failed"; error: string }
  | { verdict: "version-mismatch" }
  | { verdict: "unknown-status"; status: string };

/** Judges the list for `current`, the step the conductor believes to be running. */
export function judge(commands: readonly Command[], kind: StepKind, current: Step): Judgement {
  const last = commands.at(-1);
  if (last === undefined) return { verdict: "fresh" };
  if (commands.length === 1 && last.command_name === `get_${kind}_steps`) return { verdict: "fresh" };
  if (last.command_name !== `execute_${kind}_step`) {
    return { verdict: "wait", reason: `the last command is ${last.command_name}, not execute_${kind}_step` };
  }

  const result = last.command_result ?? null;
  switch (last.command_status) {
    case "RUNNING":
      return { verdict: "wait", reason: "the step is running" };
    case "SUCCEEDED": {
      const done = isJsonObject(result) ? result[`${kind}_step`] : undefined;
      if (!isStep(done) || !sameStep(done, current)) {
        return { verdict: "wait", reason: `the finished step is not ${current.interface}.${current.step}` };
      }
      return {
        verdict: "succeeded",
        result: isJsonObject(result) ? (result[`${kind}_result`] ?? null) : null,
      };
    }
    case "FAILED":
      return { verdict: "failed", error: errorText(last.command_error ?? null) };
    case "CLEAN_VERSION_MISMATCH":
    case "VERSION_MISMATCH":
      return { verdict: "version-mismatch" };
    default:
      return { verdict: "unknown-status", status: String(last.command_status) };
  }
}

/**
 * What an operator is shown of a `command_error`: its details, else its message, else all of it.
 * Throws on an error that is not an object, as Ironic does (`'str' object has no attribute 'get'`).
 */
export function errorText(error: Json): string {
  if (error === null) return "Invalid agent response";
  if (!isJsonObject(error)) {
    throw new TypeError(`command_error must be an object, the agent sent ${JSON.stringify(error)}`);
  }
  const { details, message } = error;
  if (typeof details === "string" && details !== "") return details;
  if (typeof message === "string" && message !== "") return message;
  return JSON.stringify(error);
}

export function isStep(value: Json | undefined): value is Step {
  return isJsonObject(value) && typeof value.interface === "string" && typeof value.step === "string";
}
