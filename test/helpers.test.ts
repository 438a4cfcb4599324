// The operator's helpers on a recorded machine, and their words on the command line.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { Config } from "../src/config/config.ts";
import { missingPrograms, OPTIONAL_PROGRAMS } from "../src/hardware/optional-programs.ts";
import { checkInstallation, describeSteps } from "../src/helpers.ts";
import { table } from "../src/table.ts";
import { recordedSystem } from "./support/recorded-system.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/helpers-`);
});
afterAll(() => rm(directory, { recursive: true }));

async function outcome(...argv: string[]) {
  const child = Bun.spawn([process.execPath, "src/main.ts", ...argv], {
    env: { PATH: process.env.PATH, HOME: directory },
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

describe("check", () => {
  const installed = (programs: readonly string[]) =>
    recordedSystem({ programs: Object.fromEntries(programs.map((program) => [program, {}])) });

  test("says which features are off because a program is missing, and that is no fault", async () => {
    const all = OPTIONAL_PROGRAMS.map(({ program }) => program);
    const system = installed(all.filter((program) => program !== "mdadm"));
    const { text, exitCode } = await checkInstallation(system, Config.of(), "table");
    expect(exitCode).toBe(0);
    expect(text).toContain("Plug-in hardware managers in /etc/ironic-python-agent.d/hardware-managers: none");
    expect(text).toMatch(/^mdadm +mdadm +software RAID is neither assembled, created nor removed$/m);
    expect(text).not.toMatch(/^parted /m);
  });

  test("with everything there it says so", async () => {
    const system = installed(OPTIONAL_PROGRAMS.map(({ program }) => program));
    const { text } = await checkInstallation(system, Config.of(), "table");
    expect(text).toContain("Every program the agent can use is installed.");
    const json = await checkInstallation(system, Config.of(), "json");
    expect(JSON.parse(json.text)).toEqual({ plugins: [], missing_programs: [] });
  });

  test("a directory that was asked for and is not there is told of, and ends with 1", async () => {
    const config = Config.of({ hardware_manager_dir: "/mistyped" });
    const { exitCode, text } = await checkInstallation(recordedSystem(), config, "table");
    expect(exitCode).toBe(1);
    expect(text).toContain("Plug-in hardware managers in /mistyped: there is no such directory");
  });

  test("every program is known once, with what is off without it", () => {
    const names = OPTIONAL_PROGRAMS.map(({ program }) => program);
    expect(new Set(names).size).toBe(names.length);
    expect(missingPrograms(() => null)).toEqual(OPTIONAL_PROGRAMS);
  });

  test("a broken plug-in is told of beside the good ones, and ends with 1", async () => {
    const source = 'import { HardwareManager } from "ironic-agent";\n';
    await writeFile(
      `${directory}/a.ts`,
      `${source}export default class A extends HardwareManager { evaluateHardwareSupport() { return 3; } }`,
    );
    await writeFile(
      `${directory}/b.ts`,
      `${source}export default class B extends HardwareManager { evaluateHardwareSupport() { throw new Error("no bus"); } }`,
    );
    await writeFile(`${directory}/c.ts`, "nonsense(");
    const { exitCode, stdout } = await outcome("check", "--hardware_manager_dir", directory);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/^ok +a\.ts +A 1\.0 +3 +no steps of its own$/m);
    expect(stdout).toMatch(/^BROKEN +b\.ts +B 1\.0 +- +.*no bus/m);
    expect(stdout).toMatch(/^BROKEN +c\.ts +- +- +.*line 1/m);
    const json = await outcome("check", "--json", "--hardware_manager_dir", directory);
    expect(
      JSON.parse(json.stdout).plugins.map(({ problem }: { problem: string | null }) => problem === null),
    ).toEqual([true, false, false]);
    // The steps of the others are listed, and the exit code says that some are missing.
    const steps = await outcome("steps", "--hardware_manager_dir", directory);
    expect(steps.exitCode).toBe(1);
    expect(JSON.parse(steps.stdout).hardware_manager_version).toMatchObject({ A: "1.0" });
  }, 60_000);
});

describe("steps", () => {
  test("as a table: by kind, as Ironic runs them", async () => {
    const { text, exitCode } = await describeSteps(recordedSystem(), Config.of(), "table");
    expect(exitCode).toBe(0);
    const rows = text.split("\n");
    expect(rows[0]).toStartWith("KIND");
    expect(rows[1]).toMatch(/^clean +99 +deploy\.erase_devices_metadata +GenericHardwareManager$/);
    expect(text).toMatch(
      /^deploy +on request +raid\.apply_configuration +GenericHardwareManager +raid_config \[delete_existing\]$/m,
    );
  });
});

test("the process of a plug-in is nothing for people", async () => {
  const { exitCode, stderr } = await outcome("plugin-host", "/tmp/x.ts");
  expect(exitCode).toBe(1);
  expect(stderr).toContain("this is for the agent itself");
});

test("a table is as wide as its widest cells", () => {
  expect(table(["A", "B"], [["long cell", "x"], ["y"]])).toBe("A          B\nlong cell  x\ny");
});
