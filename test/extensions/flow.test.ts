import { describe, expect, test } from "bun:test";
import type { Json } from "../../src/json.ts";
import { rejection } from "../support/rejection.ts";
import { fixture, step } from "./fixture.ts";

// control-plane 11.46
describe("flow.start_flow", () => {
  test("runs its commands in order and lists none of them", async () => {
    const { registry, system } = await fixture();
    const { id } = await registry.execute("flow.start_flow", {
      flow: [
        { "test.echo_sync": { value: 1 }, "test.echo": { value: 2 } },
        { "test.echo_sync": { value: 3 } },
      ],
    });
    expect(await registry.wait(id)).toMatchObject({
      command_name: "start_flow",
      command_status: "SUCCEEDED",
      command_result: null,
    });
    expect(registry.results()).toHaveLength(1);
    expect(
      system.records.map(({ message }) => message).filter((message) => message.startsWith("Command test.")),
    ).toEqual([
      "Command test.echo_sync succeeded with result: 1",
      "Command test.echo succeeded with result: 2",
      "Command test.echo_sync succeeded with result: 3",
    ]);
  });

  test.each([
    [[{ "test.broken_sync": {} }, { "test.hold": {} }], "test.broken_sync was failed"],
    [[{ "test.broken": {} }, { "test.hold": {} }], "test.broken was failed"],
    [
      [
        {
          "clean.execute_clean_step": { step: { step: "x" }, node: {}, ports: [], clean_version: { a: "1" } },
        },
      ],
      "clean.execute_clean_step was failed",
    ],
    [[{ "flow.start_flow": { flow: [{ "test.echo_sync": { value: 1 } }] } }], "flow.start_flow was failed"],
  ] as [Json, string][])("a child that does not succeed ends it: %j", async (flow, details) => {
    const { registry } = await fixture({ steps: [step("x", async () => null)] });
    const { id } = await registry.execute("flow.start_flow", { flow });
    expect(await registry.wait(id)).toMatchObject({
      command_status: "FAILED",
      command_error: { type: "CommandExecutionError", details },
    });
    expect(registry.results()).toHaveLength(1);
  });

  test.each([[[{ "test.echo_sync": { value: 1 } }]], [[]]])(
    "a flow inside a flow fails as busy, whatever it holds: %j",
    async (flow) => {
      const { registry, system } = await fixture();
      const { id } = await registry.execute("flow.start_flow", { flow: [{ "flow.start_flow": { flow } }] });
      expect(await registry.wait(id)).toMatchObject({
        command_status: "FAILED",
        command_error: { type: "CommandExecutionError", details: "flow.start_flow was failed" },
      });
      const log = system.records.map(({ message }) => message);
      expect(log.find((message) => message.startsWith("Command flow.start_flow failed"))).toContain("busy");
      expect(log.filter((message) => message.startsWith("Command test."))).toEqual([]);
    },
  );

  test.each([
    [{}, "'flow' is missing"],
    [{ flow: {} }, "'flow' must be a list, not an object"],
    [{ flow: [{ "standby.sync": [] }] }, "'flow/0/standby.sync' must be an object, not a list"],
    [{ flow: [{ "standby.nope": {} }] }, "Extension standby doesn't provide nope method"],
    [{ flow: [{ nodot: {} }] }, "Command name must be of the form <extension>.<name>"],
  ] as const)("%j is refused before anything runs", async (params, details) => {
    const { registry } = await fixture();
    expect(
      await rejection(registry.execute("flow.start_flow", structuredClone(params) as never)),
    ).toHaveProperty("details", details);
    expect(registry.results()).toEqual([]);
  });

  test("an unknown extension is the flow's own failure, as in the reference", async () => {
    const { registry } = await fixture();
    const result = await registry.execute("flow.start_flow", { flow: [{ "x.y": {} }] });
    expect(result).toMatchObject({
      command_name: "start_flow",
      command_status: "FAILED",
      command_error: {
        type: "RequestedObjectNotFoundError",
        code: 404,
        details: "Extension with id x not found.",
      },
    });
    expect(registry.results()).toEqual([result]);
    expect(await registry.wait(result.id)).toEqual(result);
  });
});
