// The documentation of the options is the option table's, and the sample file is one that the agent reads.

import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { sampleFile, withOptionTables } from "../../src/config/documentation.ts";
import { loadConfiguration } from "../../src/config/load.ts";
import { OPTION_NAMES, OPTIONS, optionSpec } from "../../src/config/options.ts";
import { recordedSystem } from "../support/recorded-system.ts";

const ADVICE = 'run "npm run docs"';

test("docs/configuration.md says what the option table says", async () => {
  const page = await readFile("docs/configuration.md", "utf8");
  expect(page === withOptionTables(page) ? page : ADVICE).toBe(page);
  for (const name of OPTION_NAMES) expect(page).toContain(`\`${name.replace(/^(\w+)\./, "[$1] ")}\``);
});

test("the sample file is that of the option table", async () => {
  const sample = await readFile("docs/ironic-python-agent.conf.sample", "utf8");
  expect(sample === sampleFile() ? sample : ADVICE).toBe(sample);
});

test("the sample file with all its options switched on is read, and changes nothing", async () => {
  // An option that is unset by default has no value to be switched on with.
  const everything = sampleFile().replace(/^#(?=[a-z0-9_]+ = .)/gm, "");
  const system = recordedSystem({
    files: { "/f.conf": everything, "/proc/sys/net/ipv6/conf/default/disable_ipv6": "0\n" },
  });
  const loaded = await loadConfiguration({
    argv: ["--config-file", "/f.conf"],
    environment: {},
    files: system.files,
  });
  if (loaded.action !== "run") throw new Error(loaded.action);
  for (const name of OPTION_NAMES) {
    expect([name, loaded.config.get(name)]).toEqual([name, OPTIONS[name].default]);
    const { ignored, default: builtIn } = optionSpec(name);
    if (ignored === undefined && builtIn !== null && String(builtIn) !== "")
      expect(loaded.config.origin(name)).toStartWith("/f.conf line");
  }
});
