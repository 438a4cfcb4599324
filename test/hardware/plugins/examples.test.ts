// The examples of docs/examples, as an author would use them: type-checked against the published types alone, and loaded and run by
// the executable itself. Nothing destructive: the steps that are run only look, and the eraser gets a loop device of the test's own.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { BlockDeviceEraseError, HardwareManagerMethodNotFound, HostDiskError } from "../../../src/errors.ts";
import { PLUGIN_METHODS } from "../../../src/hardware/plugins/methods.ts";
import { wireName } from "../../../src/hardware/wire-name.ts";
import { loopDevice, noLoopDevices } from "../../support/loop-device.ts";
import { rejection } from "../../support/rejection.ts";
import { freePort } from "../../support/test-machine.ts";
import { disk } from "../support.ts";
import { loadedRig } from "./support.ts";

const ROOT = `${import.meta.dir}/../../..`;
const BINARY = `${ROOT}/dist/ironic-python-agent-linux-${process.arch}`;
const EXAMPLES = `${ROOT}/docs/examples`;
const NAMES = ["vendor-device.ts", "custom-disk-eraser.ts", "business-logic.ts", "barrier.sh"] as const;

// Compilers and agents are started, on machines that may be busy.
setDefaultTimeout(60_000);

let home: string;
beforeAll(async () => {
  for (const needed of [BINARY, `${ROOT}/dist/sdk/index.d.ts`])
    if (!existsSync(needed))
      throw new Error(`${needed} is missing: run "bun run build.ts" first, or "npm test"`);
  home = await mkdtemp(`${tmpdir()}/examples-`);
});
afterAll(() => rm(home, { recursive: true, force: true }));

async function example(name: (typeof NAMES)[number]): Promise<string> {
  return readFile(`${EXAMPLES}/${name}`, "utf8");
}

/** The pieces of TypeScript in the author's manual, in their order. */
async function manualSources(): Promise<string[]> {
  const manual = await readFile(`${ROOT}/docs/hardware-managers.md`, "utf8");
  return [...manual.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, source = ""]) => source);
}

/** A standalone agent on loopback that answers. */
async function startAgent(...options: string[]) {
  const port = await freePort();
  const argv = [BINARY, "--standalone", "--listen_host=127.0.0.1", "--listen_port", String(port), ...options];
  const agent = Bun.spawn(argv, {
    cwd: home,
    env: { PATH: process.env.PATH, HOME: home },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const log = new Response(agent.stdout).text();
  const api = `http://127.0.0.1:${port}/v1`;
  const up = () =>
    fetch(`${api}/status`).then(
      ({ ok }) => ok,
      () => false, // refused: not yet
    );
  while (!(await up())) {
    if (agent.exitCode !== null) throw new Error(`ended with ${agent.exitCode}: ${await log}`);
    await Bun.sleep(5);
  }
  const stop = () => {
    agent.kill("SIGTERM");
    return agent.exited;
  };
  return { api, stop, [Symbol.asyncDispose]: async () => void (await stop()) };
}

async function run(argv: readonly string[], cwd = home) {
  const child = Bun.spawn([...argv], {
    cwd,
    env: { PATH: process.env.PATH, HOME: home },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { exitCode: await child.exited, stdout, stderr };
}

describe("the published types", () => {
  const TSC = [`${ROOT}/node_modules/.bin/tsc`, "--noEmit", "--strict", "--noImplicitOverride"].concat(
    [
      "--exactOptionalPropertyTypes",
      "--noUncheckedIndexedAccess",
      "--target",
      "esnext",
      "--module",
      "preserve",
    ],
    ["--lib", "esnext,dom", "--types", ""],
  );

  /** A project that has nothing but the package. */
  async function project(files: Readonly<Record<string, string>>): Promise<string> {
    const directory = await mkdtemp(`${home}/project-`);
    await mkdir(`${directory}/node_modules`);
    await cp(`${ROOT}/dist/sdk`, `${directory}/node_modules/ironic-agent`, { recursive: true });
    for (const [name, content] of Object.entries(files)) await writeFile(`${directory}/${name}`, content);
    return directory;
  }

  test("are all that the examples need", async () => {
    const modules = NAMES.filter((name) => name.endsWith(".ts"));
    const files = Object.fromEntries(
      await Promise.all(modules.map(async (name) => [name, await example(name)])),
    );
    const checked = await run([...TSC, ...modules], await project(files));
    expect(checked).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  });

  test("are all that the manual's pieces need", async () => {
    const files = Object.fromEntries((await manualSources()).map((source, index) => [`${index}.ts`, source]));
    const checked = await run([...TSC, ...Object.keys(files)], await project(files));
    expect(checked).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  });

  test("find an author's mistakes", async () => {
    const source = `
      import { defineStep, HardwareManager } from "ironic-agent";
      export default class A extends HardwareManager {
        override evaluateHardwareSupport() { return "high"; }
        override getCleanSteps() { return [defineStep({ step: "go", priority: "high", run() {} })]; }
        override async getBmcAddress() { return 5; }
      }`;
    const { exitCode, stdout } = await run([...TSC, "a.ts"], await project({ "a.ts": source }));
    expect(exitCode).not.toBe(0);
    // The three lines with a mistake, and no other.
    expect([...stdout.matchAll(/^a\.ts\((\d+),/gm)].map(([, line]) => Number(line))).toEqual([4, 5, 6]);
  });
});

describe("the executable", () => {
  test("loads all of them; check says which are for this machine", async () => {
    const { exitCode, stdout } = await run([BINARY, "check", "--json", "--hardware_manager_dir", EXAMPLES]);
    expect(exitCode).toBe(0);
    const { plugins } = JSON.parse(stdout) as {
      plugins: { path: string; support: number; steps: string[] }[];
    };
    const seen = plugins.map(({ path, support, steps }) => [
      path.slice(path.lastIndexOf("/") + 1),
      support,
      steps,
    ]);
    expect(seen).toEqual([
      ["barrier.sh", 3, ["clean.wait_for_file"]],
      [
        "business-logic.ts",
        4,
        [
          "clean.verify_machine_age",
          "clean.erase_devices",
          "clean.erase_devices_metadata",
          "deploy.verify_bmc_network",
        ],
      ],
      ["custom-disk-eraser.ts", 0, []],
      ["vendor-device.ts", 0, []],
    ]);
  });

  test("lists their steps in place of those they replace", async () => {
    const listed = await run([BINARY, "steps", "--hardware_manager_dir", EXAMPLES]);
    expect(listed.exitCode).toBe(0);
    const { clean_steps, hardware_manager_version } = JSON.parse(listed.stdout);
    expect(clean_steps.SiteRules).toContainEqual(
      expect.objectContaining({ step: "erase_devices", priority: 100 }),
    );
    expect(clean_steps.GenericHardwareManager).not.toContainEqual(
      expect.objectContaining({ step: "erase_devices" }),
    );
    expect(hardware_manager_version).toMatchObject({ example_site_rules: "2026.1", BarrierManager: "1" });
    const table = await run([BINARY, "steps", "--table", "--hardware_manager_dir", EXAMPLES]);
    expect(table.stdout).toMatch(/^clean +200 +deploy\.verify_machine_age +SiteRules$/m);
  });

  test("serves with a plug-in that does not load, runs no step, and says where it is wrong", async () => {
    const directory = `${home}/broken`;
    await mkdir(directory);
    await writeFile(`${directory}/mistake.ts`, "export default class {\n  foo( {\n}\n");
    const options = ["--hardware_manager_dir", directory];
    const wrong = /the plug-in \S+\/broken\/mistake\.ts cannot be loaded: line \d column \d: /;
    await using agent = await startAgent(...options);
    const answer = await fetch(`${agent.api}/commands/?wait=true`, {
      method: "POST",
      body: JSON.stringify({
        name: "deploy.execute_deploy_step",
        params: { step: { step: "write_image", interface: "deploy" }, node: { uuid: "u" }, ports: [] },
      }),
    });
    expect(await answer.json()).toMatchObject({
      command_status: "FAILED",
      command_error: { details: expect.stringMatching(wrong) },
    });
    expect(await agent.stop()).toBe(0);
    const check = await run([BINARY, "check", ...options]);
    expect(check.exitCode).toBe(1);
    expect(check.stdout).toMatch(/^BROKEN +mistake\.ts .*line \d column \d: /m);
    expect(check.stderr).toMatch(wrong);
  });

  test("runs their steps, and outlives what they do wrong", async () => {
    const directory = `${home}/agent`;
    await mkdir(directory);
    for (const name of ["business-logic.ts", "barrier.sh"] as const) {
      await writeFile(`${directory}/${name}`, await example(name));
      await chmod(`${directory}/${name}`, 0o755);
    }
    await writeFile(
      `${directory}/bad.ts`,
      `import { defineStep, HardwareManager } from "ironic-agent";
       export default class Bad extends HardwareManager {
         evaluateHardwareSupport() { return 2; }
         override getCleanSteps() {
           return [
             defineStep({ step: "bad_exit", run: () => process.exit(9) }),
             defineStep({ step: "bad_throw", run: () => { throw new Error("on purpose"); } }),
             defineStep({ step: "bad_loop", timeout: 0.5, run: () => { for (;;) {} } }),
           ];
         }
       }`,
    );
    await using agent = await startAgent("--hardware_manager_dir", directory);
    const { api } = agent;
    const enrolled = new Date(Date.now() - 400 * 24 * 3600 * 1000).toISOString();
    const command = async (step: string, args: object = {}, created_at = enrolled) => {
      const params = {
        step: { step, interface: "deploy", args },
        node: { uuid: "u", created_at },
        ports: [],
      };
      const answer = await fetch(`${api}/commands/?wait=true`, {
        method: "POST",
        body: JSON.stringify({ name: "clean.execute_clean_step", params }),
      });
      return (await answer.json()) as {
        command_status: string;
        command_result: unknown;
        command_error: unknown;
      };
    };
    expect(await command("verify_machine_age")).toMatchObject({
      command_status: "SUCCEEDED",
      command_result: { clean_result: { years: 1.1 }, clean_step: { step: "verify_machine_age" } },
    });
    expect(await command("verify_machine_age", {}, "2001-01-01T00:00:00Z")).toMatchObject({
      command_status: "FAILED",
      command_error: { type: "CleaningError", details: expect.stringContaining("to be retired") },
    });
    await writeFile(`${home}/go-on`, "");
    expect(await command("wait_for_file", { path: `${home}/go-on` })).toMatchObject({
      command_result: { clean_result: { waited: 0 } },
    });
    // control-plane 11.76
    expect(await command("bad_throw")).toMatchObject({
      command_error: {
        type: "CleaningError",
        details: "Unexpected exception performing clean step bad_throw. Error: on purpose",
      },
    });
    expect(await command("bad_exit")).toMatchObject({
      command_error: {
        type: "CommandExecutionError",
        details: expect.stringContaining("with exit code 9"),
      },
    });
    expect(await command("bad_loop")).toMatchObject({
      command_error: { details: expect.stringContaining("took longer than 0.5 s") },
    });
    expect(await command("verify_machine_age")).toMatchObject({ command_status: "SUCCEEDED" });
    expect(await agent.stop()).toBe(0);
  });
});

describe("the author's manual", () => {
  test("has examples that load, and does what it says when it is followed", async () => {
    const [first = "", ...more] = await manualSources();
    const directory = await mkdtemp(`${home}/manual-`);
    await writeFile(`${directory}/rack-light.ts`, first);
    for (const [index, source] of more.entries())
      if (source.includes("export default")) await writeFile(`${directory}/${index}.ts`, source);
    const options = ["--hardware_manager_dir", directory];
    const check = await run([BINARY, "check", ...options]);
    expect(check.exitCode).toBe(0);
    expect(check.stdout).toMatch(/^ok +rack-light\.ts +RackLight 1 +3 +clean\.verify_memory$/m);
    expect(check.stdout).toMatch(/^ok +0\.ts +RackPosition 1\.0 +2 +no steps of its own$/m);
    const steps = await run([BINARY, "steps", "--table", ...options]);
    expect(steps.stdout).toMatch(/^clean +95 +deploy\.verify_memory +RackLight +\[gib\]$/m);
    // The command of the manual's curl, as it stands there.
    const body = /-d '(\{[\s\S]*?\})'\n```/.exec(
      await readFile(`${ROOT}/docs/hardware-managers.md`, "utf8"),
    )?.[1];
    await using agent = await startAgent(...options);
    const answer = await fetch(`${agent.api}/commands/?wait=true`, { method: "POST", body: body ?? "" });
    expect(await answer.json()).toMatchObject({
      command_status: "SUCCEEDED",
      command_result: { clean_result: { total: expect.any(Number) } },
    });
    const inventory = JSON.parse((await run([BINARY, "inventory", ...options])).stdout);
    expect(inventory.rack).toBe(inventory.hostname.split("-")[0]);
  });

  test("names every method an executable may answer, and no other", async () => {
    const manual = await readFile(`${ROOT}/docs/hardware-managers.md`, "utf8");
    const [, table = ""] =
      /^\*\*Methods\*\* have the reference's names[\s\S]*?\n\n([\s\S]*?)\n\n/m.exec(manual) ?? [];
    const named = [...table.matchAll(/`([a-z0-9_]+)`(?=[^|]*\|[^|]*\|$)/gm)].map(([, name]) => name ?? "");
    expect(named.sort()).toEqual(Object.keys(PLUGIN_METHODS).map(wireName).sort());
  });
});

describe("the vendor's card", () => {
  /** The example with a stand-in for the kernel's list of devices and for the vendor's tool. */
  async function card(tool: string) {
    const directory = await mkdtemp(`${home}/card-`);
    const device = `${directory}/devices/0000:01:00.0`;
    await mkdir(device, { recursive: true });
    await writeFile(`${device}/vendor`, "0x1ace\n");
    await writeFile(`${device}/device`, "0x4711\n");
    await writeFile(`${directory}/tool`, `#!/bin/sh\n${tool}\n`);
    await chmod(`${directory}/tool`, 0o755);
    const source = (await example("vendor-device.ts"))
      .replace("/sys/bus/pci/devices", `${directory}/devices`)
      .replace("/opt/acme/bin/acme-card", `${directory}/tool`);
    return { directory, source };
  }

  const step = { node: {}, ports: [], args: {}, signal: new AbortController().signal, report: () => {} };

  test("gets its firmware when it has another, and shows in logs", async () => {
    const { directory, source } = await card(
      'case "$2" in version) cat "$0.version" 2>/dev/null || echo 6.0;; flash) echo 7.2.0 > "$0.version";; status) echo fine;; esac',
    );
    await using rig = await loadedRig({ "vendor-device.ts": source });
    expect(await rig.managers.steps("clean", {}, [])).toMatchObject({
      AcmeCardManager: [{ step: "upgrade_acme_firmware", reboot_requested: true, abortable: false }],
    });
    const upgrade = () => rig.managers.executeStep("clean", "upgrade_acme_firmware", step);
    expect(await upgrade()).toEqual({ upgraded: ["0000:01:00.0"], version: "7.2.0" });
    expect(await readFile(`${directory}/tool.version`, "utf8")).toBe("7.2.0\n");
    expect(await upgrade()).toEqual({ upgraded: [], version: "7.2.0" });
    expect(await rig.managers.dispatch("collectSystemLogs")).toEqual({
      outputs: { "acme/0000:01:00.0": "fine\n" },
      files: [],
    });
    expect([...rig.metrics.series()]).toMatchObject([{ kind: "timer", name: "acme_card.flash", count: 1 }]);
  });

  test("whose firmware cannot be written fails the cleaning in the operator's words", async () => {
    const { source } = await card(
      'case "$2" in version) echo 6.0;; *) echo "no answer from the card" >&2; exit 5;; esac',
    );
    await using rig = await loadedRig({ "vendor-device.ts": source });
    const error = await rejection(rig.managers.executeStep("clean", "upgrade_acme_firmware", step));
    expect(error).toMatchObject({ type: "CleaningError" });
    expect(String(error)).toContain("the card at 0000:01:00.0 was not written");
    expect(String(error)).toContain("no answer from the card");
  });
});

describe.skipIf(noLoopDevices !== null)("the eraser", () => {
  async function eraser(tool: string, allow: boolean) {
    const path = `${await mkdtemp(`${home}/eraser-`)}/wipe`;
    await writeFile(path, `#!/bin/sh\n${tool}\n`);
    await chmod(path, 0o755);
    const source = (await example("custom-disk-eraser.ts")).replace("/opt/acme/bin/magicstore-wipe", path);
    return loadedRig({ "eraser.ts": source }, { values: { allow_host_disks: allow } });
  }

  test("erases its own make of disk, and leaves others to the next manager", async () => {
    await using loop = await loopDevice(1024 * 1024);
    await writeFile(loop.backingFile, Buffer.alloc(1024 * 1024, 0xaa));
    await using rig = await eraser('dd if=/dev/zero of="$1" bs=64k count=16 conv=fsync 2>/dev/null', true);
    const erase = (model: string) =>
      rig.managers.dispatch("eraseBlockDevice", {}, disk({ name: loop.path, model, serial: "S1" }));
    expect(await rejection(erase("Other"))).toBeInstanceOf(HardwareManagerMethodNotFound);
    expect((await readFile(loop.backingFile))[0]).toBe(0xaa);
    expect(await erase("ACME MagicStore 2")).toEqual({ method: "key destroyed", serial: "S1" });
    expect((await readFile(loop.backingFile)).every((byte) => byte === 0)).toBe(true);
  });

  test("refuses outside a ramdisk, and fails when its tool does", async () => {
    await using loop = await loopDevice(1024 * 1024);
    const target = disk({ name: loop.path, model: "ACME MagicStore 2" });
    await using guarded = await eraser("exit 0", false);
    expect(await rejection(guarded.managers.dispatch("eraseBlockDevice", {}, target))).toBeInstanceOf(
      HostDiskError,
    );
    await using failing = await eraser("echo 'key store locked' >&2; exit 1", true);
    const error = await rejection(failing.managers.dispatch("eraseBlockDevice", {}, target));
    expect(error).toBeInstanceOf(BlockDeviceEraseError);
    expect(String(error)).toContain("key store locked");
  });
});
