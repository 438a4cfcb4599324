import { expect, test } from "bun:test";
import fc from "fast-check";
import { wrapWords } from "../../src/config/wrap-words.ts";

test("words keep their order, and lines their width, unless one word is wider", () => {
  const words = fc.array(fc.stringMatching(/^\S{1,12}$/), { minLength: 1 });
  fc.assert(
    fc.property(words, fc.integer({ min: 4, max: 30 }), (text, width) => {
      const lines = wrapWords(text.join(" "), width);
      expect(lines.join(" ")).toBe(text.join(" "));
      for (const [index, line] of lines.entries()) {
        expect(line.length <= width || !line.includes(" ")).toBe(true);
        const next = lines[index + 1]?.split(" ")[0];
        if (next !== undefined) expect(line.length + 1 + next.length).toBeGreaterThan(width);
      }
    }),
  );
});
