// How Python prints a value: error texts of Ironic and of its agent hold steps, versions and answers printed that way, and operators know
// them so.

import { isJsonObject, type Json } from "./json.ts";

/** Python's str() of what json.loads() makes of a value. */
export function pythonText(value: Json): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return `[${value.map(pythonText).join(", ")}]`;
  if (isJsonObject(value)) {
    const members = Object.entries(value).map(([key, member]) => `${quoted(key)}: ${pythonText(member)}`);
    return `{${members.join(", ")}}`;
  }
  return String(value);
}

/** Python prefers single quotes, and takes double ones to escape nothing. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"');
  return `${quote}${quote === "'" ? escaped.replaceAll("'", "\\'") : escaped}${quote}`;
}
