// Checks the parameters of a command against its schema, in words an operator can act on: which parameter,
// what is wanted, what came. The reference answers with a Python TypeError, a type name conductors give a
// meaning of its own.

import type { Static, TObject, TSchema } from "@sinclair/typebox";
import { Value, type ValueError } from "@sinclair/typebox/value";
import { InvalidCommandParamsError } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { TYPE_WORDS, wantedWords } from "../schema-words.ts";

/**
 * Splits `params` into those the schema names (of the types it asks for) and all others.
 * @throws InvalidCommandParamsError naming every missing or wrong parameter
 */
export function checkParams<P extends TObject>(
  schema: P,
  params: JsonObject,
): { known: Static<P>; others: JsonObject } {
  const entries = Object.entries(params);
  const isNamed = ([name]: [string, unknown]) => Object.hasOwn(schema.properties, name);
  const known: unknown = Object.fromEntries(entries.filter(isNamed));
  if (!Value.Check(schema, known)) throw new InvalidCommandParamsError(complaints(schema, known).join("; "));
  return { known, others: Object.fromEntries(entries.filter((entry) => !isNamed(entry))) };
}

function complaints(schema: TSchema, value: unknown): string[] {
  // A missing parameter is reported twice, as missing and as of the wrong type: the first word counts.
  const byPath = new Map<string, string>();
  for (const error of Value.Errors(schema, value)) {
    if (!byPath.has(error.path)) byPath.set(error.path, complaint(error));
  }
  return [...byPath.values()];
}

function complaint(error: ValueError): string {
  const name = error.path.slice(1);
  if (error.value === undefined) return `'${name}' is missing`;
  return `'${name}' must be ${wantedWords(error.schema)}, not ${found(error.value)}`;
}

function found(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "boolean") return String(value);
  return TYPE_WORDS[typeof value] ?? typeof value;
}
