import { describe, expect, test } from "bun:test";
import { CleaningError, CommandExecutionError, ImageWriteError } from "../../src/errors.ts";
import type { Json, JsonObject } from "../../src/json.ts";
import type { StepContext, StepKind } from "../../src/steps/step.ts";
import { type Fixture, type FixtureOptions, fixture, step } from "./fixture.ts";

const NODE = { uuid: "5f1ae6cc-0d76-4d6c-b2d4-6a9b5c3f0001" };
const KINDS: StepKind[] = ["clean", "deploy", "service"];

async function execute(
  kind: StepKind,
  options: FixtureOptions,
  params: JsonObject,
): Promise<Fixture & { result: Awaited<ReturnType<Fixture["registry"]["wait"]>> }> {
  const made = await fixture(options);
  const started = await made.registry.execute(`${kind}.execute_${kind}_step`, {
    node: NODE,
    ports: [],
    ...params,
  });
  expect(started.command_status).toBe("RUNNING");
  return { ...made, result: await made.registry.wait(started.id) };
}

// contract 10.32 and 10.33
describe("get_*_steps", () => {
  test.each(KINDS)("%s: steps by manager, the versions, and the node is remembered", async (kind) => {
    const asked: Json[] = [];
    const { registry, services } = await fixture({
      manager: {
        steps: async (...question) => {
          asked.push(...question);
          return [step("erase_devices", async () => null, { priority: 10, abortable: true })];
        },
      },
    });
    const ports = [{ address: "52:54:00:00:00:01" }];
    const result = await registry.execute(`${kind}.get_${kind}_steps`, { node: NODE, ports });
    expect(result.command_status).toBe("SUCCEEDED");
    expect(result.command_result).toEqual({
      [`${kind}_steps`]: {
        TestHardwareManager: [
          {
            step: "erase_devices",
            priority: 10,
            interface: "deploy",
            reboot_requested: false,
            abortable: true,
          },
        ],
      },
      hardware_manager_version: { test_hardware_manager: "1.0" },
    });
    expect(asked).toEqual([kind, NODE, ports]);
    expect(services.managers.node.current).toEqual(NODE);
  });

  // control-plane 11.37
  test("a node without instance_info or anything else is fine", async () => {
    const { registry } = await fixture();
    const result = await registry.execute("clean.get_clean_steps", { node: {}, ports: [] });
    expect(result.command_result).toEqual({
      clean_steps: {},
      hardware_manager_version: { test_hardware_manager: "1.0" },
    });
  });

  // contract 10.42
  test("a later node replaces the one before", async () => {
    const { registry, services } = await fixture();
    const changed = { ...NODE, instance_info: { root_device: { name: "/dev/sdb" } } };
    await registry.execute("clean.get_clean_steps", { node: NODE, ports: [] });
    await registry.execute("deploy.get_deploy_steps", { node: changed, ports: [] });
    expect(services.managers.node.current).toEqual(changed);
  });
});

// contract 10.35
describe("execute_*_step", () => {
  // control-plane 11.39 and 11.75, contract 10.38
  test.each(KINDS)(
    "%s: the step's arguments win over the command's, and the result echoes the step",
    async (kind) => {
      const calls: [StepContext, JsonObject][] = [];
      const burnin = step("burnin_cpu", async (context, args) => {
        calls.push([context, args]);
        return ["out", "err"];
      });
      const given = { interface: "deploy", step: "burnin_cpu", requires_ramdisk: true, args: { seconds: 5 } };
      const { result } = await execute(kind, { steps: [burnin] }, { step: given, seconds: 60, agents: 2 });
      expect(result.command_result).toEqual({ [`${kind}_result`]: ["out", "err"], [`${kind}_step`]: given });
      expect(calls[0]?.[1]).toEqual({ seconds: 5, agents: 2 });
      expect(calls[0]?.[0].node).toEqual(NODE);
    },
  );

  test("no result is null", async () => {
    const { result } = await execute(
      "clean",
      { steps: [step("x", async () => null)] },
      { step: { step: "x" } },
    );
    expect(result.command_result).toEqual({ clean_result: null, clean_step: { step: "x" } });
  });

  // contract 10.36
  test.each([null, { test_hardware_manager: "1.0" }])("version %j runs", async (clean_version) => {
    const options = { steps: [step("x", async () => "ran")] };
    const { result } = await execute("clean", options, { step: { step: "x" }, clean_version });
    expect(result.command_result).toMatchObject({ clean_result: "ran" });
  });

  // control-plane 11.40, contract 10.36
  test.each(KINDS)(
    "%s: another version ends as CLEAN_VERSION_MISMATCH and nothing is executed",
    async (kind) => {
      let ran = false;
      const x = step("x", async () => {
        ran = true;
        return null;
      });
      const params = { step: { step: "x" }, [`${kind}_version`]: { test_hardware_manager: "0.9" } };
      const { result } = await execute(kind, { steps: [x] }, params);
      expect(result).toMatchObject({
        command_status: "CLEAN_VERSION_MISMATCH",
        command_result: null,
        command_error: {
          type: "VersionMismatch",
          code: 409,
          message: "Hardware managers version mismatch, reload agent with correct version",
          details:
            "Current versions: {'test_hardware_manager': '1.0'}, versions used by ironic: {'test_hardware_manager': '0.9'}",
        },
      });
      expect(ran).toBe(false);
    },
  );

  // contract 10.37
  test.each([
    [{}, 'Malformed clean_step, no "step" key: {}'],
    [
      { step: 5, args: { password: "hunter2" } },
      `Malformed clean_step, no "step" key: {'step': 5, 'args': {'password': '******'}}`,
    ],
    [{ step: "x", args: [1] }, `Malformed clean_step, "args" is not an object: {'step': 'x', 'args': [1]}`],
  ] as [JsonObject, string][])("a malformed step fails: %j", async (malformed, details) => {
    const { result } = await execute("clean", {}, { step: malformed });
    expect(result).toMatchObject({
      command_status: "FAILED",
      command_error: { type: "CommandExecutionError", details },
    });
  });

  // contract 10.37
  test("an unknown step fails with its name", async () => {
    const { result } = await execute("deploy", {}, { step: { step: "paint_it_black" } });
    expect(result.command_error).toMatchObject({
      type: "HardwareManagerMethodNotFound",
      details: "Could not find method: paint_it_black",
    });
  });

  // control-plane 11.76, contract 10.39
  test("errors of the API keep their type, others get that of the kind of step", async () => {
    const failing = (error: unknown) => ({ steps: [step("boom", () => Promise.reject(error))] });
    const command = { step: { step: "boom" } };
    const kept = await execute("deploy", failing(new ImageWriteError("no space")), command);
    expect(kept.result.command_error).toMatchObject({ type: "ImageWriteError", details: "no space" });
    const types = { clean: "CleaningError", deploy: "DeploymentError", service: "ServicingError" };
    for (const kind of KINDS) {
      const { result } = await execute(kind, failing(new RangeError("kaboom")), command);
      expect(result.command_error).toMatchObject({
        type: types[kind],
        details: `Unexpected exception performing ${kind} step boom. RangeError: kaboom`,
      });
    }
    const text = await execute("clean", failing(new CleaningError("dirty")), command);
    expect(text.result.command_error).toMatchObject({ message: "Clean step failed", details: "dirty" });
  });

  test("the step reports its progress and is aborted with the agent", async () => {
    const begun = Promise.withResolvers<void>();
    const slow = step("slow", ({ report, signal }) => {
      report({ phase: "erasing", done: 5, total: 10, unit: "byte", rate: 2.5 });
      begun.resolve();
      return new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    });
    const { registry } = await fixture({ steps: [slow] });
    const { id } = await registry.execute("clean.execute_clean_step", {
      step: { step: "slow" },
      node: {},
      ports: [],
    });
    await begun.promise;
    expect(registry.get(id).command_progress).toEqual({
      phase: "erasing",
      done: 5,
      total: 10,
      unit: "byte",
      rate: 2.5,
    });
    await registry.stop();
    expect(registry.get(id).command_error).toMatchObject({
      type: new CommandExecutionError().type,
      details: "aborted because the agent is shutting down",
    });
  });

  // contract 10.29: three config drives of 100 MiB, as a conductor sends them
  test("300 MiB of parameters reach the step, and neither the log nor the list", async () => {
    const drive = "A".repeat(100 * 1024 * 1024);
    const sizes: unknown[] = [];
    const writes = step("write_image", async (_, args) => {
      sizes.push((args.configdrive as string).length, (args.user_data as string).length);
      return null;
    });
    const { registry, result, system } = await execute(
      "deploy",
      { steps: [writes] },
      {
        step: { step: "write_image", args: { configdrive: drive, user_data: drive } },
        node: { instance_info: { configdrive: drive } },
      },
    );
    expect(result.command_status).toBe("SUCCEEDED");
    expect(sizes).toEqual([drive.length, drive.length]);
    expect(JSON.stringify(registry.results()).length).toBeLessThan(1000);
    expect(Math.max(...system.records.map(({ message }) => message.length))).toBeLessThan(1000);
  });

  // control-plane 11.48, contract 10.28
  test("neither secrets nor bulk come back in the echo or go to the log", async () => {
    const secret = "c2VjcmV0LWNvbmZpZy1kcml2ZQ==";
    const args = {
      image_info: {
        id: "i",
        configdrive: secret,
        image_server_password: secret,
        urls: [`http://u:${secret}@h/i`],
      },
      configdrive: secret,
      files: [{ path: "/etc/motd", content: "x".repeat(1025) }],
    };
    const { result, system } = await execute(
      "deploy",
      { steps: [step("write_image", async () => null)] },
      {
        step: { interface: "deploy", step: "write_image", args },
        node: { instance_info: { configdrive: secret } },
      },
    );
    expect(result.command_result).toEqual({
      deploy_result: null,
      deploy_step: {
        interface: "deploy",
        step: "write_image",
        args: {
          image_info: {
            id: "i",
            configdrive: "<...>",
            image_server_password: "******",
            urls: ["http://******@h/i"],
          },
          configdrive: "<...>",
          files: [{ path: "/etc/motd", content: "<1025 characters>" }],
        },
      },
    });
    expect(system.records.map(({ message }) => message).join("\n")).not.toContain(secret);
  });
});
