// What a TypeBox schema asks for, in words for people: errors about commands' parameters and about plug-ins' answers use them.

import type { TSchema } from "@sinclair/typebox";

/** JSON's types, by the names that both schemas and typeof give them. */
export const TYPE_WORDS: Readonly<Record<string, string>> = {
  object: "an object",
  array: "a list",
  string: "a string",
  boolean: "true or false",
  number: "a number",
  integer: "an integer",
  null: "null",
};

/** Completes "must be …". */
export function wantedWords(schema: TSchema): string {
  const alternatives: unknown = schema.anyOf;
  if (Array.isArray(alternatives))
    return alternatives.map((member: TSchema) => wantedWords(member)).join(" or ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (typeof schema.pattern === "string") return `a string like ${schema.pattern}`;
  const noun = TYPE_WORDS[String(schema.type)] ?? "of another type";
  if (typeof schema.minimum === "number") return `${noun} of ${schema.minimum} or more`;
  if (typeof schema.exclusiveMinimum === "number") return `${noun} over ${schema.exclusiveMinimum}`;
  return schema.type === "string" && schema.minLength === 1 ? "a string that is not empty" : noun;
}
