import { expect, test } from "bun:test";
import fc from "fast-check";
import { printable } from "../../src/system/printable.ts";

test("what a terminal would obey, or nobody can see, is written out", () => {
  expect(printable("\x1b[2Jgone\x07 \x9b31m\x7f\0")).toBe("\\x1b[2Jgone\\x07 \\x9b31m\\x7f\\x00");
  expect(printable("evil\u202egpj.exe\u2028\ufeff")).toBe("evil\\u{202e}gpj.exe\\u{2028}\\u{feff}");
  expect(printable("half \ud83d")).toBe("half \\u{d83d}");
});

test("texts of people stay as they are; a carriage return ends a line", () => {
  const text = 'Zürich\t日本 🙂 {"a": 1}\nsecond line';
  expect(printable(text)).toBe(text);
  expect(printable("1 %\r2 %\r\ndone")).toBe("1 %\n2 %\ndone");
});

test("whatever it is, nothing of it can be obeyed afterwards, and it stays so", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const shown = printable(text);
      expect(shown).not.toMatch(/[^\P{Cc}\n\t]|[\u202a-\u202e\u2066-\u2069]/u);
      expect(printable(shown)).toBe(shown);
    }),
  );
});
