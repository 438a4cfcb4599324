// Checked against Python itself.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Json } from "../src/json.ts";
import { pythonText } from "../src/python-text.ts";

async function printedByPython(values: readonly Json[]): Promise<string[]> {
  const script = "import json, sys\nfor value in json.load(sys.stdin): print(value if 0 else repr(value))";
  const child = Bun.spawn(["python3", "-c", script], { stdin: new Blob([JSON.stringify(values)]) });
  return (await new Response(child.stdout).text()).trimEnd().split("\n");
}

describe.skipIf(Bun.which("python3") === null)("Python's way to print", () => {
  test("a step, as it stands in last_error", async () => {
    const step = { interface: "deploy", step: "erase_devices", priority: 10, abortable: true, args: null };
    expect([pythonText(step)]).toEqual(await printedByPython([step]));
  });

  test("anything made of the usual characters", async () => {
    const text = fc.string({ unit: "grapheme-ascii" });
    const leaf = fc.oneof(text, fc.integer(), fc.boolean(), fc.constant(null));
    const value = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: "small" },
        leaf,
        fc.array(tie("value")),
        fc.dictionary(text, tie("value")),
      ),
    })).value as fc.Arbitrary<Json>;
    const samples = fc.sample(value, 200);
    expect(samples.map(pythonText)).toEqual(await printedByPython(samples));
  });
});
