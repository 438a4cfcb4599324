import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatTime } from "../../src/system/log-time.ts";

const evening = new Date(2026, 8, 5, 19, 4, 7);

test("the directives of strftime", () => {
  expect(formatTime("%Y-%m-%d %H:%M:%S", evening)).toBe("2026-09-05 19:04:07");
  expect(formatTime("%F %T", evening)).toBe("2026-09-05 19:04:07");
  expect(formatTime("%A, %a %B %b %e %y", evening)).toBe("Saturday, Sat September Sep  5 26");
  expect(formatTime("%I %p", evening)).toBe("07 PM");
  expect(formatTime("%I %p", new Date(2026, 0, 1, 0))).toBe("12 AM");
  expect(formatTime("%s", evening)).toBe(String(evening.getTime() / 1000));
  expect(formatTime("%z", evening)).toMatch(/^[+-]\d{4}$/);
});

test("%% is a percent sign, and what is not known stays", () => {
  expect(formatTime("100%% %Q %", evening)).toBe("100% %Q %");
});

test("text without directives stays as it is", () => {
  const text = fc.string().filter((value) => !value.includes("%"));
  fc.assert(fc.property(text, (value) => expect(formatTime(value, evening)).toBe(value)));
});
