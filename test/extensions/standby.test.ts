import { describe, expect, test } from "bun:test";
import type { JsonObject } from "../../src/json.ts";
import { rejection } from "../support/rejection.ts";
import { fixture } from "./fixture.ts";

const DIGEST = "d".repeat(64);

// control-plane 11.47
describe.each(["standby.prepare_image", "standby.cache_image"])("%s", (command) => {
  test.each([
    [{}, "'image_info' is missing"],
    [{ image_info: "debian" }, "'image_info' must be an object, not a string"],
    [{ image_info: {} }, "Image is missing 'id' field."],
    [{ image_info: { id: "i" } }, "Image is missing 'urls' field."],
    [
      { image_info: { id: "i", urls: [], checksum: DIGEST } },
      "Image 'urls' must be a list with at least one element.",
    ],
    [
      { image_info: { id: "i", urls: ["http://h/i"], checksum: DIGEST }, configdrive: 7 },
      "'configdrive' must be a string or an object or null, not a number",
    ],
  ] as [JsonObject, string][])("%j is refused and not recorded", async (params, details) => {
    const { registry } = await fixture();
    expect(await rejection(registry.execute(command, params))).toMatchObject({
      type: "InvalidCommandParamsError",
      code: 400,
      details,
    });
    expect(registry.results()).toEqual([]);
  });

  test("without a disk to install to it fails, in the background", async () => {
    const { registry } = await fixture();
    const image_info = { id: "i", urls: ["http://images.example/i"], checksum: DIGEST, disk_format: "raw" };
    const started = await registry.execute(command, { image_info, configdrive: null });
    expect(started).toMatchObject({ command_name: command.split(".")[1], command_status: "RUNNING" });
    expect(await registry.wait(started.id)).toMatchObject({
      command_status: "FAILED",
      command_error: {
        type: "HardwareManagerMethodNotFound",
        details: "Could not find method: get_os_install_device",
      },
    });
  });
});

describe("standby.get_partition_uuids", () => {
  test("is empty before an image was written, and then what was written", async () => {
    const { registry, services } = await fixture();
    const ask = async () => (await registry.execute("standby.get_partition_uuids", {})).command_result;
    expect(await ask()).toEqual({});
    services.deployment.written({ kind: "whole disk", uuids: { "root uuid": "0x1a2b3c4d" }, netboot: false });
    expect(await ask()).toEqual({ "root uuid": "0x1a2b3c4d" });
  });
});

// contract 10.54, deploy 11.87
describe("standby.sync", () => {
  test("flushes, and has no result", async () => {
    const { registry, system } = await fixture({ recording: { programs: { sync: {} } } });
    expect(await registry.execute("standby.sync", {})).toMatchObject({
      command_name: "sync",
      command_status: "SUCCEEDED",
      command_result: null,
    });
    expect(system.calls).toEqual([["sync"]]);
  });

  test("fails with the reference's words", async () => {
    const { registry } = await fixture({
      recording: { programs: { sync: { exitCode: 1, stderr: "sync: error syncing '/': I/O error" } } },
    });
    const { command_status, command_error } = await registry.execute("standby.sync", {});
    expect(command_status).toBe("FAILED");
    expect(command_error?.type).toBe("CommandExecutionError");
    expect(command_error?.details).toStartWith("Flushing file system buffers failed. Error: ");
    expect(command_error?.details).toContain("I/O error");
  });

  test("asks the hardware managers to write out what the kernel does not know of; one that fails fails it", async () => {
    const recording = { programs: { sync: {} } };
    const asked: string[] = [];
    const fullSync = async () => void asked.push("raid controller");
    const good = await fixture({ recording, manager: { fullSync } });
    expect((await good.registry.execute("standby.sync", {})).command_status).toBe("SUCCEEDED");
    expect(asked).toEqual(["raid controller"]);
    const broken = { fullSync: () => Promise.reject(new Error("the battery is empty")) };
    const bad = await fixture({ recording, manager: broken });
    expect(await bad.registry.execute("standby.sync", {})).toMatchObject({
      command_status: "FAILED",
      command_error: { type: "CommandExecutionError", details: "the battery is empty" },
    });
  });
});

// contract 10.53
describe("standby.power_off and run_image", () => {
  test.each([
    ["standby.power_off", "poweroff"],
    ["standby.run_image", "reboot"],
  ])("%s is answered RUNNING, then calls %s", async (name, program) => {
    const ok = { stdout: "" };
    const { registry, system } = await fixture({
      recording: { programs: { sync: ok, hwclock: ok, poweroff: ok, reboot: ok } },
    });
    const started = await registry.execute(name, {});
    expect(started.command_status).toBe("RUNNING");
    expect((await registry.wait(started.id)).command_status).toBe("SUCCEEDED");
    const called = system.calls.map(([name]) => name);
    expect(called.filter((name) => ["hwclock", "sync", program].includes(name!)).slice(0, 3)).toEqual([
      "hwclock",
      "sync",
      program,
    ]);
  });
});

// contract 10.51
describe("image.install_bootloader", () => {
  test.each([
    [{}, "'root_uuid' is missing"],
    [{ root_uuid: 5 }, "'root_uuid' must be a string or null, not a number"],
    [
      { root_uuid: null, ignore_bootloader_failure: "yes" },
      "'ignore_bootloader_failure' must be true or false or null, not a string",
    ],
  ] as [JsonObject, string][])("%j is refused", async (params, details) => {
    const { registry } = await fixture();
    expect(await rejection(registry.execute("image.install_bootloader", params))).toHaveProperty(
      "details",
      details,
    );
    expect(registry.results()).toEqual([]);
  });

  test.each([
    { root_uuid: null },
    { root_uuid: "0x1a2b3c4d", efi_system_part_uuid: null, prep_boot_part_uuid: null },
    {
      root_uuid: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123",
      efi_system_part_uuid: null,
      prep_boot_part_uuid: null,
      target_boot_mode: "uefi",
    },
    { root_uuid: "", efi_system_part_uuid: "", prep_boot_part_uuid: "", target_boot_mode: "" },
    { root_uuid: null, target_boot_mode: null, ignore_bootloader_failure: true },
  ])("%j, as conductors send it, is accepted and listed under its short name", async (params) => {
    const { registry } = await fixture();
    const started = await registry.execute("image.install_bootloader", params);
    expect(started).toMatchObject({ command_name: "install_bootloader", command_status: "RUNNING" });
    await registry.wait(started.id);
    expect(registry.results().map(({ command_name }) => command_name)).toEqual(["install_bootloader"]);
  });
});
