import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { pythonJson } from "../../src/routes/python-json.ts";

describe("JSON as Python writes it", () => {
  // Expected texts: json.dumps() of Python 3.11.
  test.each([
    [
      { a: [1, 2.5, -0.001], b: { c: null, d: true } },
      '{"a": [1, 2.5, -0.001], "b": {"c": null, "d": true}}',
    ],
    [{}, "{}"],
    [[], "[]"],
    ["caf\u00e9 \u{1f600} \u007f", '"caf\\u00e9 \\ud83d\\ude00 \\u007f"'],
    ['tab\t nul\u0000 quote" back\\ slash/', '"tab\\t nul\\u0000 quote\\" back\\\\ slash/"'],
    [{ "\u00fc": 1795329776.97 }, '{"\\u00fc": 1795329776.97}'],
  ])("%j", (value, text) => {
    expect(pythonJson(value)).toBe(text);
  });

  test("is ASCII and means the same, whatever the value", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        const text = pythonJson(value);
        expect(text).toMatch(/^[ -~]*$/);
        expect(JSON.stringify(JSON.parse(text))).toBe(JSON.stringify(value));
      }),
    );
  });

  test("members that are undefined are left out", () => {
    expect(pythonJson({ a: undefined, b: 1 })).toBe('{"b": 1}');
  });
});
