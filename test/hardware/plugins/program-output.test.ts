import { expect, test } from "bun:test";
import fc from "fast-check";
import { RestError } from "../../../src/errors.ts";
import { type ProgramEvent, ProgramOutput } from "../../../src/hardware/plugins/program-output.ts";

function read(pieces: readonly string[]) {
  const events: ProgramEvent[] = [];
  const output = new ProgramOutput((event) => events.push(event));
  for (const piece of pieces) output.feed(piece);
  output.end();
  return { events, finish: () => output.finish("Acme") };
}

test("lines are found wherever the output was cut", () => {
  const text = '{"progress": {"phase": "a"}}\nplain\n\n{"log": "hello"}\n{"result": {"a": "{\\n"}}';
  const whole = read([text]);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: text.length }), { maxLength: 6 }), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), text.length];
      const pieces = at.slice(1).map((end, index) => text.slice(at[index], end));
      expect(read(pieces).events).toEqual(whole.events);
      expect(read(pieces).finish()).toEqual({ a: "{\n" });
    }),
  );
  expect(whole.events.map(({ kind }) => kind)).toEqual(["progress", "text", "log"]);
});

test("the first mistake is told, by its line", () => {
  expect(read(['{"log": 1}\n{broken\n{"also": 1}\n{"result": 1}\n']).finish).toThrow(
    "Acme: line 2 of its output begins like JSON but is none: {broken",
  );
});

test("a line without an end is not kept", () => {
  const { finish } = read(Array.from({ length: 100 }, () => "x".repeat(100_000)));
  expect(finish).toThrow("line 1 of its output is longer than");
});

test("any output gives a result or an error of the API, never anything else", () => {
  const line = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .dictionary(
        fc.constantFrom("result", "error", "log", "level", "progress", "metric", "x"),
        fc.jsonValue(),
      )
      .map((value) => JSON.stringify(value)),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const { finish } = read([lines.join("\n")]);
      try {
        expect(JSON.stringify(finish())).toBeString();
      } catch (error) {
        if (!(error instanceof RestError)) throw error;
        expect(error.type).not.toBe("TypeError");
        expect(error.details).toBeString();
      }
    }),
  );
});
