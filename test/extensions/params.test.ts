import { describe, expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import fc from "fast-check";
import { InvalidCommandParamsError } from "../../src/errors.ts";
import { jsonList, jsonObject, optional } from "../../src/extensions/param-types.ts";
import { checkParams } from "../../src/extensions/params.ts";
import type { JsonObject } from "../../src/json.ts";

const schema = Type.Object({
  step: jsonObject,
  ports: jsonList,
  retries: optional(Type.Integer()),
  force: Type.Optional(Type.Boolean()),
});

function complaint(params: JsonObject): string {
  try {
    checkParams(schema, params);
  } catch (error) {
    if (error instanceof InvalidCommandParamsError) return error.details;
    throw error;
  }
  return "none";
}

describe("command parameters", () => {
  test("members the schema does not name are set apart", () => {
    expect(checkParams(schema, { step: { a: 1 }, ports: [], retries: null, debug: 1, self: "x" })).toEqual({
      known: { step: { a: 1 }, ports: [], retries: null },
      others: { debug: 1, self: "x" },
    });
  });

  test("every missing parameter is named", () => {
    expect(complaint({})).toBe("'step' is missing; 'ports' is missing");
  });

  test.each([
    [{ step: [], ports: [] }, "'step' must be an object, not a list"],
    [{ step: "erase", ports: [] }, "'step' must be an object, not a string"],
    [{ step: null, ports: [] }, "'step' must be an object, not null"],
    [{ step: {}, ports: {} }, "'ports' must be a list, not an object"],
    [{ step: {}, ports: [], retries: 1.5 }, "'retries' must be an integer or null, not a number"],
    [{ step: {}, ports: [], force: 1 }, "'force' must be true or false, not a number"],
    [{ step: {}, ports: [], retries: true }, "'retries' must be an integer or null, not true"],
  ] as [JsonObject, string][])("%j: %s", (params, expected) => {
    expect(complaint(params)).toBe(expected);
  });

  test("a name that every object inherits is not taken for a parameter that was given", () => {
    const inherited = Type.Object({ constructor: jsonObject });
    expect(() => checkParams(inherited, {})).toThrow("'constructor' is missing");
    expect(
      checkParams(schema, JSON.parse('{"step": {}, "ports": [], "__proto__": {"force": "x"}}')).others,
    ).toEqual(JSON.parse('{"__proto__": {"force": "x"}}'));
  });

  test("whatever comes is taken apart without loss, or refused with a text that names a parameter", () => {
    fc.assert(
      fc.property(
        fc.record({ step: fc.jsonValue(), ports: fc.jsonValue(), x: fc.jsonValue() }, { requiredKeys: [] }),
        (value) => {
          const params = value as JsonObject;
          const text = complaint(params);
          if (text !== "none") {
            expect(text).toMatch(/'(step|ports)' (is missing|must be)/);
            return;
          }
          const { known, others } = checkParams(schema, params);
          expect<JsonObject>({ ...known, ...others }).toEqual(params);
        },
      ),
    );
  });
});
