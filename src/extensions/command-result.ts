// The record of one command: what POST answers and what the list of commands holds.
// Source: ironic-python-agent extensions/base.py (without `command_params`, which leaked secrets and was
// dropped in release 8.0.0); `command_progress` is ours, present only while the command runs, and ignored by
// conductors.

import { type Static, type TSchema, Type } from "@sinclair/typebox";
import type { Json } from "../json.ts";

/** The reference uses CLEAN_VERSION_MISMATCH for deploy and service steps too; Train knows no other word. */
export const CommandStatus = Type.Union([
  Type.Literal("RUNNING"),
  Type.Literal("SUCCEEDED"),
  Type.Literal("FAILED"),
  Type.Literal("CLEAN_VERSION_MISMATCH"),
]);
export type CommandStatus = Static<typeof CommandStatus>;

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

export const CommandError = Type.Object({
  type: Type.String(),
  code: Type.Integer(),
  message: Type.String(),
  details: Type.String(),
});

export const CommandProgress = Type.Object({
  phase: Type.String(),
  done: nullable(Type.Number()),
  total: nullable(Type.Number()),
  unit: Type.String(),
  rate: nullable(Type.Number()),
  remaining: Type.Optional(nullable(Type.Number())),
});

export const CommandResult = Type.Object({
  id: Type.String(),
  /** Without the extension's name: conductors search by it. */
  command_name: Type.String(),
  command_status: CommandStatus,
  command_error: nullable(CommandError),
  command_result: Type.Unsafe<Json>(Type.Unknown()),
  command_progress: Type.Optional(CommandProgress),
});
export type CommandResult = Readonly<Static<typeof CommandResult>>;
