import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isTrueDebug, parseKernelLine } from "../../src/config/kernel-line.ts";

describe("the kernel line", () => {
  test("keeps name=value words, split at the first =, the last of equal names", () => {
    const line = "BOOT_IMAGE=/k ro ipa-standalone ipa-listen-port=1 a=b=c  ipa-listen-port=2\tempty= \n";
    expect([...parseKernelLine(line)]).toEqual([
      ["BOOT_IMAGE", "/k"],
      ["ipa-listen-port", "2"],
      ["a", "b=c"],
      ["empty", ""],
    ]);
  });

  test("does not know quotes", () => {
    expect(parseKernelLine('x="a b=c"').get("x")).toBe('"a');
    expect(parseKernelLine('x="a b=c"').get("b")).toBe('c"');
  });

  test("any words come back, whatever stands between them", () => {
    const name = fc.stringMatching(/^[^\s=]{1,10}$/);
    const parameters = fc.uniqueArray(fc.tuple(name, fc.stringMatching(/^[^\s]{0,10}$/)), {
      selector: ([key]) => key,
    });
    const noise = fc.constantFrom(" ", "\n", " quiet ", "\t ro  ");
    fc.assert(
      fc.property(parameters, noise, (pairs, between) => {
        const line = pairs.map(([key, value]) => `${key}=${value}`).join(between);
        expect([...parseKernelLine(line)]).toEqual(pairs);
      }),
    );
  });

  test("ipa-debug is read loosely and never wrong", () => {
    for (const yes of ["1", "t", "True", "ON", "y", "yes"]) expect(isTrueDebug(yes)).toBe(true);
    for (const no of ["0", "", "false", "2", "maybe"]) expect(isTrueDebug(no)).toBe(false);
  });
});
