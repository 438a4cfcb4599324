// Automated cleaning driven against a scripted agent over real HTTP (conductor contract 6.2).

import { afterEach, beforeEach, expect, test } from "bun:test";
import type { JsonObject } from "../../src/json.ts";
import { thrower } from "../support/rejection.ts";
import { Lab, UUID } from "./lab.ts";
import { fault, succeeded } from "./scripted-agent.ts";

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab[Symbol.asyncDispose]());

const step = (name: string, priority: number, change: JsonObject = {}) => ({
  interface: "deploy",
  step: name,
  priority,
  reboot_requested: false,
  abortable: true,
  ...change,
});

function offer(...steps: JsonObject[]): void {
  lab.agent.on("clean.get_clean_steps", () =>
    succeeded({ clean_steps: { GenericHardwareManager: steps }, hardware_manager_version: { g: "1" } }),
  );
}

function stepsRun(): unknown[] {
  return lab.agent.received
    .filter(({ name }) => name === "clean.execute_clean_step")
    .map(({ params }) => (params.step as JsonObject).step);
}

test("runs the steps with a priority, highest first, and powers off", async () => {
  offer(step("erase_devices", 10), step("never", 0), step("erase_devices_metadata", 99));
  const { end } = await lab.begin(lab.conductor.clean(lab.node));
  await lab.heartbeat();
  lab.agent.finishStep("clean");
  await lab.heartbeat();
  lab.agent.finishStep("clean");
  await lab.heartbeat();
  await end;
  expect(stepsRun()).toEqual(["erase_devices_metadata", "erase_devices"]);
  expect(lab.agent.received[1]!.params).toMatchObject({
    step: { requires_ramdisk: true, priority: 99 },
    clean_version: { g: "1" },
  });
  expect(lab.node).toMatchObject({ provisionState: "available", token: null });
  expect(lab.power.isOn).toBe(false);
});

test("without steps the node is available at once", async () => {
  offer();
  const { end } = await lab.begin(lab.conductor.clean(lab.node));
  await lab.heartbeat();
  await end;
  expect(stepsRun()).toEqual([]);
});

test("priorities can be overridden", async () => {
  await lab[Symbol.asyncDispose]();
  lab = new Lab({ cleanStepPriorities: { erase_devices: 0, erase_devices_metadata: 10 } });
  offer(step("erase_devices", 10), step("erase_devices_metadata", 99));
  const { end } = await lab.begin(lab.conductor.clean(lab.node));
  await lab.heartbeat();
  lab.agent.finishStep("clean");
  await lab.heartbeat();
  await end;
  expect(stepsRun()).toEqual(["erase_devices_metadata"]);
});

test("a failed step ends in clean failed and maintenance", async () => {
  offer(step("erase_devices", 10));
  const { end } = await lab.begin(lab.conductor.clean(lab.node));
  await lab.heartbeat();
  lab.agent.finish({ command_status: "FAILED", command_error: { message: "m", details: "disk is frozen" } });
  await lab.heartbeat();
  expect(await thrower(end)).toThrow(
    `Clean step deploy.erase_devices failed on node ${UUID}. disk is frozen`,
  );
  expect(lab.node).toMatchObject({ provisionState: "clean failed", maintenance: true });
});

test("a failure before the first step leaves the node off and out of maintenance", async () => {
  lab.agent.on("clean.get_clean_steps", () => succeeded({}));
  const { end } = await lab.begin(lab.conductor.clean(lab.node));
  await lab.heartbeat();
  expect(await thrower(end)).toThrow(
    `Node failed to start the first cleaning step: agent get_clean_steps for node ${UUID} returned an invalid result.`,
  );
  expect(lab.node).toMatchObject({ provisionState: "clean failed", maintenance: false });
  expect(lab.power.isOn).toBe(false);
});

test("an agent that does not call in time fails the cleaning with the step in progress", async () => {
  await lab[Symbol.asyncDispose]();
  lab = new Lab({ callbackTimeout: 1 });
  expect(await thrower(lab.conductor.clean(lab.node))).toThrow(/Timeout .* Failed on step \{\}\.$/);
});

test("logs that are always collected are fetched before the machine goes off", async () => {
  await lab[Symbol.asyncDispose]();
  lab = new Lab({ deployLogsCollect: "always" });
  offer(step("erase_devices", 10));
  const { end } = await lab.begin(lab.conductor.clean(lab.node));
  await lab.heartbeat();
  lab.agent.finishStep("clean");
  await lab.heartbeat();
  await end;
  expect(lab.agent.names.at(-1)).toBe("collect_system_logs");
  expect(lab.power.isOn).toBe(false);
});

test("a step that asks for a reboot gets it, and the next boot goes on with the next step", async () => {
  offer(step("flash", 50, { reboot_requested: true }), step("erase_devices", 10));
  const { end } = await lab.begin(lab.conductor.clean(lab.node));
  await lab.heartbeat();
  lab.agent.finishStep("clean");
  await lab.heartbeat();
  expect(lab.power.boots).toHaveLength(2);
  lab.agent.reboot();
  await lab.agent.lookup();
  await lab.heartbeat();
  expect(stepsRun()).toEqual(["flash", "erase_devices"]);
  lab.agent.finishStep("clean");
  await lab.heartbeat();
  await end;
  expect(lab.agent.names.filter((name) => name === "get_clean_steps")).toHaveLength(1);
});

test("a version mismatch starts the whole list again", async () => {
  offer(step("first", 50), step("second", 10));
  const { end } = await lab.begin(lab.conductor.clean(lab.node));
  await lab.heartbeat();
  lab.agent.finishStep("clean");
  await lab.heartbeat();
  lab.agent.finish({ command_status: "CLEAN_VERSION_MISMATCH" });
  await lab.heartbeat();
  lab.agent.finishStep("clean");
  await lab.heartbeat();
  lab.agent.finishStep("clean");
  await lab.heartbeat();
  await end;
  expect(stepsRun()).toEqual(["first", "second", "first", "second"]);
});

test("a busy agent is asked again at the next heartbeat", async () => {
  offer(step("erase_devices", 10));
  const { end } = await lab.begin(lab.conductor.clean(lab.node));
  lab.agent.on("clean.execute_clean_step", () => fault(409, "Agent is busy: executing command x"));
  await lab.heartbeat();
  lab.agent.on("clean.execute_clean_step", () => ({ command_status: "RUNNING" }));
  await lab.heartbeat();
  lab.agent.finishStep("clean");
  await lab.heartbeat();
  await end;
  expect(stepsRun()).toEqual(["erase_devices", "erase_devices"]);
});
