import { expect, test } from "bun:test";
import fc from "fast-check";
import { CleaningError } from "../../../src/errors.ts";
import type { JsonObject } from "../../../src/json.ts";
import { fioOnDisks, fioOnNetwork } from "../../../src/steps/burn-in/fio.ts";
import { BurnInSettings } from "../../../src/steps/burn-in/settings.ts";

const settings = (driverInfo: JsonObject) => new BurnInSettings({ driver_info: driverInfo }, "agent_");

test("numbers and text mean the same, and what is not set is the default", () => {
  const given = settings({ agent_a: 3, agent_b: "4", agent_c: null });
  expect([given.count("a", 0), given.count("b", 0), given.count("c", 9), given.count("d", 9)]).toEqual([
    3, 4, 9, 9,
  ]);
  expect(new BurnInSettings({}, "agent_").count("a", 7)).toBe(7);
});

test("times are seconds, or have a unit", () => {
  const given = settings({ agent_a: 90, agent_b: "90s", agent_c: "2m", agent_d: "3h", agent_e: "1d" });
  const seconds = ["a", "b", "c", "d", "e", "f"].map((name) => given.duration(name, 7).seconds);
  expect(seconds).toEqual([90, 90, 120, 10_800, 86_400, 7]);
  expect(given.duration("d", 0).text).toBe("3h");
});

test("a flag is true in all the ways that the reference takes for true", () => {
  const values = [true, "True", "yes", "on", "1", 1, "t", "Y"];
  expect(values.map((value) => settings({ agent_f: value }).flag("f"))).not.toContain(false);
  const others = [false, "false", "no", 0, "", null, "maybe", []];
  expect(others.map((value) => settings({ agent_f: value }).flag("f"))).not.toContain(true);
});

test("an object may come as JSON text", () => {
  const given = settings({ agent_a: { role: "writer" }, agent_b: '{"role": "reader"}' });
  expect([given.object("a"), given.object("b"), given.object("c")]).toEqual([
    { role: "writer" },
    { role: "reader" },
    null,
  ]);
});

test("what cannot be meant is refused, by name", () => {
  const given = settings({
    agent_a: "-1",
    agent_b: "98 %",
    agent_c: "--output=/etc/passwd",
    agent_d: [1],
    agent_e: "{",
  });
  expect(() => given.count("a", 0)).toThrow('driver_info/agent_a must be a whole number, not "-1"');
  expect(() => given.duration("a", 0)).toThrow("agent_a must be a number of seconds");
  expect(() => given.amount("b", "")).toThrow("agent_b must be a number, with %");
  expect(() => given.word("c")).toThrow("agent_c must not begin with -");
  expect(() => given.count("d", 0)).toThrow("agent_d must be text or a number, not [1]");
  expect(() => given.object("e")).toThrow("agent_e must be an object");
});

test("whatever is set, a command line gets no option and no word more than it should, or a CleaningError comes", () => {
  const anything = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.constantFrom(null, 1, 60, "f", "-x", "--daemonize=f", "1 --name=b", "1\n2", "٣", "1e3"),
    fc.jsonValue(),
  );
  const none = { runtime: { text: "0", seconds: 0 }, outputFile: null };
  const plainDisks = fioOnDisks(["/dev/sda"], { ...none, loops: 4 });
  const plainNetwork = fioOnNetwork({ ...none, role: { name: "reader", partner: "b" } });
  fc.assert(
    fc.property(anything, anything, anything, (loops, runtime, outputfile) => {
      const given = settings({
        agent_loops: loops,
        agent_runtime: runtime,
        agent_file: outputfile,
      } as JsonObject);
      try {
        const common = { runtime: given.duration("runtime", 0), outputFile: given.word("file") };
        const disks = fioOnDisks(["/dev/sda"], { ...common, loops: given.count("loops", 4) });
        const network = fioOnNetwork({ ...common, role: { name: "reader", partner: "b" } });
        const output = common.outputFile === null ? 0 : 4;
        expect([disks.length, network.length]).toEqual([
          plainDisks.length + output,
          plainNetwork.length + output,
        ]);
        for (const word of [...disks, ...network]) expect(word).toMatch(/^(--[a-z_-]+|[^-\s][^\s]*)$/);
      } catch (error) {
        if (!(error instanceof CleaningError)) throw error;
      }
    }),
  );
});
