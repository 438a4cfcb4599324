// The operator's helpers on a recorded machine, and their words on the command line.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { Config } from "../src/config/config.ts";
import { ConfigurationError } from "../src/config/configuration-error.ts";
import { missingPrograms, OPTIONAL_PROGRAMS } from "../src/hardware/optional-programs.ts";
import {
  checkInstallation,
  describeInventory,
  describeSteps,
  findRootDevice,
  introspect,
} from "../src/helpers.ts";
import { table } from "../src/table.ts";
import { loadMachine } from "./hardware/recording/recording.ts";
import { RAMDISK_FILES } from "./hardware/support.ts";
import { type Recording, recordedSystem } from "./support/recorded-system.ts";
import { rejection } from "./support/rejection.ts";

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

describe("on a recorded machine", () => {
  const machine = async () => {
    const recording = await loadMachine("qemu-uefi");
    return recordedSystem({ ...recording, files: { ...recording.files, ...RAMDISK_FILES } });
  };

  test("the inventory is JSON, or a table with the machine, its disks and its interfaces", async () => {
    const inventory = JSON.parse(await describeInventory(await machine(), Config.of(), "json"));
    const text = await describeInventory(await machine(), Config.of(), "table");
    for (const { name, serial } of inventory.disks)
      expect(text).toMatch(new RegExp(`^${name} +[\\d.]+ .iB .* ${serial}\\b`, "m"));
    for (const { name, mac_address } of inventory.interfaces)
      expect(text).toMatch(new RegExp(`^${name} +${mac_address} +down `, "m"));
    expect(text).toContain(inventory.system_vendor.product_name);
    expect(text).toMatch(/^boot +uefi$/m);
    const { text: rootDisk } = await findRootDevice(await machine(), Config.of(), []);
    expect(text).toMatch(new RegExp(`^root disk +${rootDisk}, if there are no hints$`, "m"));
  });

  test("inventory and inspection touch nothing while an agent runs, and make the machine ready where none does", async () => {
    const programs = async (files: Recording["files"]) => {
      const recording = await loadMachine("qemu-bios");
      const system = recordedSystem({
        ...recording,
        files: { ...recording.files, ...RAMDISK_FILES, ...files },
      });
      await describeInventory(system, Config.of(), "json");
      const values = { inspection_callback_url: "http://192.0.2.1/", inspection_collectors: ["default"] };
      await introspect(system, Config.of(values), new AbortController().signal);
      return new Set(system.calls.map(([program]) => program));
    };
    const executable = { link: "/usr/local/bin/ironic-python-agent" };
    const mounts = RAMDISK_FILES["/proc/self/mountinfo"] ?? "";
    const self = { "/proc/self": { link: "77" }, "/proc/77/exe": executable, "/proc/77/mountinfo": mounts };
    const alone = await programs({ ...self, "/proc/1/exe": { link: "/usr/bin/init" } });
    expect([...alone]).toContain("mdadm");
    const beside = await programs({ ...self, "/proc/300/exe": executable });
    for (const program of ["mdadm", "modprobe", "multipath", "multipathd", "iscsistart", "umount"])
      expect([...beside]).not.toContain(program);
    expect([...beside]).toContain("lsblk");
  });

  test("the table names no root disk where the only one is the running system's", async () => {
    const inUse = async () => recordedSystem(await loadMachine("microvm"));
    expect(JSON.parse(await describeInventory(await inUse(), Config.of(), "json")).disks).toHaveLength(1);
    const system = await inUse();
    const text = await describeInventory(system, Config.of(), "table");
    // An answer, not a fault.
    expect(system.records.filter(({ level }) => level === "ERROR")).toEqual([]);
    expect(text).toMatch(/^root disk +none: root-device says why$/m);
    const { text: why } = await findRootDevice(await inUse(), Config.of(), []);
    expect(why).toContain("not offered: ");
  });

  test("the disk that hints choose, one answer a line", async () => {
    const asked = ['{"serial": "SATA1"}', '{"tran": "nvme"}'];
    const answer = await findRootDevice(await machine(), Config.of(), asked);
    expect(answer).toEqual({ text: "/dev/sda\n/dev/nvme0n1", exitCode: 0 });
  });

  test("hints that choose none end with 1, and say why", async () => {
    const answer = await findRootDevice(await machine(), Config.of(), ['{"serial": "NONE"}', '{"x": 1}']);
    expect(answer.exitCode).toBe(1);
    const [none, invalid] = answer.text.split("\n");
    expect(none).toMatch(/"NONE".*Disks seen: .*serial SATA1/);
    expect(invalid).toMatch(/hints x are invalid; valid hints are: size, /);
  });

  test("hints that are no JSON object are wrong use", async () => {
    for (const text of ["size=5", "[]", "{"])
      expect(await rejection(findRootDevice(await machine(), Config.of(), [text]))).toBeInstanceOf(
        ConfigurationError,
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
