// The table itself, and that nothing drifts away from it.

import { expect, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import packageJson from "../../package.json";
import { Config } from "../../src/config/config.ts";
import { describeConfig } from "../../src/config/describe.ts";
import { helpText } from "../../src/config/help.ts";
import { OPTION_NAMES, OPTION_SECTIONS, optionSpec } from "../../src/config/options.ts";
import { formatValue, parseValue } from "../../src/config/values.ts";
import { AGENT_VERSION } from "../../src/version.ts";

const unique = (values: readonly string[]) => new Set(values).size === values.length;

test("names, kernel parameters and aliases are unique and well-formed", () => {
  expect(OPTION_NAMES.every((name) => /^([a-z_]+\.)?[a-z][a-z0-9_]*$/.test(name))).toBe(true);
  const specs = OPTION_NAMES.map(optionSpec);
  expect(unique(specs.flatMap(({ kernel }) => kernel ?? []))).toBe(true);
  expect(specs.flatMap(({ kernel }) => kernel ?? []).every((name) => /^ipa-[a-z0-9-]+$/.test(name))).toBe(
    true,
  );
  expect(unique([...OPTION_NAMES, ...specs.flatMap(({ cliAliases }) => cliAliases ?? [])])).toBe(true);
  expect(unique([...OPTION_NAMES, ...specs.flatMap(({ fileAliases }) => fileAliases ?? [])])).toBe(true);
  expect(OPTION_SECTIONS.flatMap(({ options }) => Object.keys(options))).toEqual(OPTION_NAMES);
});

test("every default is a value the option itself accepts", () => {
  for (const name of OPTION_NAMES) {
    const spec = optionSpec(name);
    if (spec.default !== null)
      expect(parseValue(spec, formatValue(spec.default))).toEqual(spec.default as never);
  }
});

test("an option that others decide unless it is set takes `auto` for that, another does not", () => {
  const spec = optionSpec("enable_bios_bootloader_install");
  expect(["auto", "Auto", "true", "0"].map((text) => parseValue(spec, text))).toEqual([
    null,
    null,
    true,
    false,
  ]);
  expect(() => parseValue(spec, "maybe")).toThrow("expected true, 1, on, yes or false, 0, off, no or auto");
  expect(() => parseValue(optionSpec("debug"), "auto")).toThrow(
    "expected true, 1, on, yes or false, 0, off, no",
  );
});

test("every option does something: the agent reads it somewhere, or the table says why it has no effect", async () => {
  const sources = (await readdir("src", { recursive: true })).filter(
    (path) => path.endsWith(".ts") && !/^config\/option|lookup-settings/.test(path),
  );
  const text = (await Promise.all(sources.map((path) => readFile(`src/${path}`, "utf8")))).join("\n");
  const idle = OPTION_NAMES.filter((name) => !text.includes(`"${name}"`));
  // Both ways: what does nothing says so, and what says so does nothing.
  expect(OPTION_NAMES.filter((name) => optionSpec(name).ignored ?? optionSpec(name).notYet)).toEqual(idle);
});

test("the help text names every option and kernel parameter and fits a terminal", () => {
  const help = helpText();
  for (const name of OPTION_NAMES) {
    const { kernel, ignored } = optionSpec(name);
    if (ignored !== undefined) {
      expect(help.split("Accepted, and without effect:")[1]).toContain(name);
      continue;
    }
    expect(help).toContain(
      name.includes(".") ? `[${name.split(".")[0]}] ${name.split(".")[1]}` : `--${name}`,
    );
    if (kernel !== undefined) expect(help.replace(/\s+/g, " ")).toContain(`kernel parameter: ${kernel})`);
  }
  expect(help.split("\n").filter((line) => line.length > 110)).toEqual([]);
});

test("the listing of the configuration masks secrets", () => {
  const listing = describeConfig(
    Config.of({ agent_token: "t".repeat(40), image_server_password: "hunter2" }),
  );
  expect(listing).not.toContain("ttt");
  expect(listing).not.toContain("hunter2");
  expect(listing).toMatch(/^agent_token +\*{6} +program$/m);
  expect(listing).toMatch(/^listen_port +9999 +built-in default$/m);
});

test("there is one version", () => {
  expect(packageJson.version).toBe(AGENT_VERSION);
  expect(AGENT_VERSION).toMatch(/^\d+\.\d+\.\d+$/);
});
