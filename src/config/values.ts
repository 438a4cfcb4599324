// From the text of an option to its value, by the types of the table, the same for every source.
// Source of the accepted spellings: control-plane specification 2.4.

import type { OptionSpec } from "./option-spec.ts";

export type AnyOptionValue = boolean | number | string | null | readonly string[];

/** The text does not fit the option; the message says what would. */
export class InvalidValueError extends Error {}

const TRUE = new Set(["true", "1", "on", "yes"]);
const FALSE = new Set(["false", "0", "off", "no"]);
/** What leaves the decision to others, as if the option were not set. */
const AUTO = "auto";

/** @throws InvalidValueError */
export function parseValue(spec: OptionSpec, text: string): AnyOptionValue {
  switch (spec.type) {
    case "bool":
      return spec.default === null && text.toLowerCase() === AUTO
        ? null
        : parseBool(text, spec.default === null);
    case "int":
      return parseInteger(text, spec.min, spec.max ?? Number.MAX_SAFE_INTEGER);
    case "float":
      return parseDecimal(text, spec.min);
    case "port":
      return parseInteger(text, 0, 65_535);
    case "list":
      return text
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== "");
    case "string":
      if (spec.choices !== undefined && !spec.choices.includes(text))
        throw new InvalidValueError(`expected one of ${spec.choices.join(", ")}`);
      if (spec.pattern !== undefined && !spec.pattern.test(text))
        throw new InvalidValueError(`expected ${spec.form ?? spec.pattern.source}`);
      return text;
  }
}

/** What an option takes, in a few words for --help. */
export function valueHint(spec: OptionSpec): string {
  if (spec.type === "string") return spec.choices?.join("|") ?? "TEXT";
  return { bool: "", int: "NUMBER", float: "NUMBER", port: "PORT", list: "A,B,…" }[spec.type];
}

/** A value as people write it in a file. */
export function formatValue(value: AnyOptionValue): string {
  if (value === null) return "(not set)";
  return typeof value === "object" ? value.join(",") : String(value);
}

function parseBool(text: string, mayBeUnset: boolean): boolean {
  const word = text.toLowerCase();
  if (TRUE.has(word)) return true;
  if (FALSE.has(word)) return false;
  throw new InvalidValueError(
    `expected true, 1, on, yes or false, 0, off, no${mayBeUnset ? ` or ${AUTO}` : ""}`,
  );
}

function parseInteger(text: string, min: number, max: number): number {
  const range = max === Number.MAX_SAFE_INTEGER ? `from ${min}` : `from ${min} to ${max}`;
  const number = /^[+-]?\d+$/.test(text.trim()) ? Number(text.trim()) : Number.NaN;
  if (!(number >= min && number <= max)) throw new InvalidValueError(`expected a whole number ${range}`);
  return number;
}

function parseDecimal(text: string, min: number): number {
  const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text.trim()) ? Number(text.trim()) : Number.NaN;
  if (!(number >= min && number < Number.POSITIVE_INFINITY))
    throw new InvalidValueError(`expected a number from ${min}`);
  return number;
}
