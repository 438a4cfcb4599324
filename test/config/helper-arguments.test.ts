// What a helper's command line has beside the agent's options.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { ConfigurationError } from "../../src/config/configuration-error.ts";
import { helperArguments } from "../../src/config/helper-arguments.ts";

const ALL = { formatted: true, operands: true };

test("the format in each of its forms; the last one counts", () => {
  for (const words of [["--table"], ["--format", "table"], ["--format=table"], ["--json", "--table"]])
    expect(helperArguments(words, ALL)).toEqual({ argv: [], format: "table", operands: [] });
  expect(helperArguments(["--debug", "--json"], ALL)).toEqual({
    argv: ["--debug"],
    format: "json",
    operands: [],
  });
});

test("a format that there is not, or none, is wrong use", () => {
  for (const words of [["--format", "xml"], ["--format="], ["--format"]]) {
    const parse = () => helperArguments(words, ALL);
    expect(parse).toThrow(ConfigurationError);
    expect(parse).toThrow(/must be json or table, not/);
  }
});

test("operands stand in front of the options", () => {
  expect(helperArguments(['{"size": 5}', "{}", "--config-dir", "{}"], ALL)).toEqual({
    argv: ["--config-dir", "{}"],
    format: null,
    operands: ['{"size": 5}', "{}"],
  });
});

test("a helper without them leaves everything to the options", () => {
  fc.assert(
    fc.property(fc.array(fc.string()), (words) => {
      expect(helperArguments(words, { formatted: false, operands: false }).argv).toEqual(words);
    }),
  );
});
