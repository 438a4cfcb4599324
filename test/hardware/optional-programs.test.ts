import { expect, test } from "bun:test";
import { OPTIONAL_PROGRAMS, reportMissingPrograms } from "../../src/hardware/optional-programs.ts";
import { recordedSystem } from "../support/recorded-system.ts";

/** What every Linux has, or what comes in the same package as a program of the table. */
const COMPANY = new Set([
  "cp",
  "rm",
  "sync",
  "chroot",
  "umount",
  "chronyc",
  "pvs",
  "systemctl",
  "tgtadm",
  "mknod",
]);

test("every program that the source runs by name is in the table", async () => {
  const known = new Set([...COMPANY, ...OPTIONAL_PROGRAMS.map(({ program }) => program)]);
  const unknown = new Set<string>();
  const source = `${import.meta.dir}/../../src`;
  for await (const path of new Bun.Glob("**/*.ts").scan(source))
    for (const [, program = ""] of (await Bun.file(`${source}/${path}`).text()).matchAll(
      /\brun\(\s*\[\s*"([^"]+)"/g,
    ))
      if (!known.has(program)) unknown.add(`${program} (src/${path})`);
  expect([...unknown]).toEqual([]);
});

test("an agent says at its start what it lacks, and nothing when it lacks nothing", () => {
  const all = OPTIONAL_PROGRAMS.map(({ program }) => program);
  const lines = (programs: readonly string[]) => {
    const system = recordedSystem({ programs: Object.fromEntries(programs.map((program) => [program, {}])) });
    reportMissingPrograms(system);
    return system.records.map(({ level, message }) => `${level} ${message}`);
  };
  expect(lines(all)).toEqual([]);
  const [line] = lines(all.filter((program) => program !== "mdadm" && program !== "nvme"));
  expect(line).toMatch(/^INFO .*: mdadm, nvme$/);
});
