// How the conductor reads the command list (conductor contract 2.6 and 2.8).

import { describe, expect, test } from "bun:test";
import type { Command } from "./agent-client.ts";
import { errorText, judge } from "./judgement.ts";

const STEP = { interface: "deploy", step: "write_image", priority: 80 };

function entry(change: Partial<Command> = {}): Command {
  return {
    command_name: "execute_deploy_step",
    command_status: "SUCCEEDED",
    command_error: null,
    command_result: { deploy_result: "done", deploy_step: { interface: "deploy", step: "write_image" } },
    ...change,
  };
}

describe("judge", () => {
  test("an empty list, or only the step list asked for, is a fresh boot", () => {
    expect(judge([], "deploy", STEP).verdict).toBe("fresh");
    expect(judge([entry({ command_name: "get_deploy_steps" })], "deploy", STEP).verdict).toBe("fresh");
  });

  test.each([
    [
      "two step lists",
      [entry({ command_name: "get_deploy_steps" }), entry({ command_name: "get_deploy_steps" })],
    ],
    ["the step list of another kind", [entry({ command_name: "get_clean_steps" })]],
    ["anything after the step", [entry(), entry({ command_name: "sync" })]],
    ["a step of another kind", [entry({ command_name: "execute_clean_step" })]],
    ["a running step", [entry({ command_status: "RUNNING", command_result: null })]],
    ["a finished step without echo", [entry({ command_result: { deploy_result: "done" } })]],
    [
      "another finished step",
      [entry({ command_result: { deploy_step: { interface: "raid", step: "write_image" } } })],
    ],
  ])("%s means waiting", (_what, commands) => {
    expect(judge(commands, "deploy", STEP).verdict).toBe("wait");
  });

  test("the last step, finished and recognised by interface and name alone, has succeeded", () => {
    expect(judge([entry({ command_status: "FAILED" }), entry()], "deploy", STEP)).toEqual({
      verdict: "succeeded",
      result: "done",
    });
  });

  test("a failure needs no echo of the step", () => {
    const failed = entry({
      command_status: "FAILED",
      command_result: null,
      command_error: {
        type: "ImageWriteError",
        code: 500,
        message: "Error writing image",
        details: "no space",
      },
    });
    expect(judge([failed], "deploy", STEP)).toEqual({ verdict: "failed", error: "no space" });
  });

  test.each(["CLEAN_VERSION_MISMATCH", "VERSION_MISMATCH"])("%s is a version mismatch", (status) => {
    expect(judge([entry({ command_status: status })], "deploy", STEP).verdict).toBe("version-mismatch");
  });

  test("any other status is unknown", () => {
    expect(judge([entry({ command_status: "WEIRD" })], "deploy", STEP)).toEqual({
      verdict: "unknown-status",
      status: "WEIRD",
    });
  });
});

describe("errorText", () => {
  test("prefers details, then the message, then all of it", () => {
    expect(errorText({ message: "m", details: "d" })).toBe("d");
    expect(errorText({ message: "m", details: "" })).toBe("m");
    expect(errorText({ code: 500 })).toBe('{"code":500}');
    expect(errorText(null)).toBe("Invalid agent response");
  });

  test("a string is not an error object", () => {
    expect(() => errorText("boom")).toThrow("must be an object");
  });
});
