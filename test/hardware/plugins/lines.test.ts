import { expect, test } from "bun:test";
import fc from "fast-check";
import { Lines } from "../../../src/hardware/plugins/lines.ts";

function read(pieces: readonly string[], longest: number): (string | null)[] {
  const lines: (string | null)[] = [];
  const reader = new Lines(longest, (line, number) => {
    lines.push(line);
    expect(number).toBe(lines.length);
  });
  for (const piece of pieces) reader.feed(piece);
  reader.end();
  return lines;
}

test("pieces are lines however they are cut; the last needs no end; one that is too long is null", () => {
  expect(read(["a", "b\n\nc", "\n", "12345\n12", "3456", "\nlast"], 5)).toEqual([
    "ab",
    "",
    "c",
    "12345",
    null,
    "last",
  ]);
  expect(read(["123456"], 5)).toEqual([null]);
});

test("the cuts make no difference", () => {
  const text = fc.array(fc.constantFrom("\n", "a", "bc", "déf"), { maxLength: 30 });
  fc.assert(
    fc.property(text, (pieces) => {
      const lines = pieces.join("").split("\n");
      if (lines.at(-1) === "") lines.pop();
      expect(read(pieces, 6)).toEqual(lines.map((line) => (line.length > 6 ? null : line)));
    }),
  );
});
