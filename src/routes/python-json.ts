// JSON text as the reference writes it: ASCII only, ", " and ": " between members, keys in the order given.
// Nobody should rely on it, but people's scripts grep for `"command_status": "RUNNING"`.

import type { Json } from "../json.ts";

/** What Python escapes besides the characters below the blank, which JSON.stringify escapes already. */
const NOT_ASCII = /[\u007f-\uffff]/g;

/** A value or record of JSON; members that are undefined are left out. */
export function pythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .map(([key, member]) => `${pythonString(key)}: ${pythonJson(member)}`);
    return `{${members.join(", ")}}`;
  }
  if (typeof value === "string") return pythonString(value);
  return JSON.stringify(value as Json) ?? "null";
}

function pythonString(text: string): string {
  return JSON.stringify(text).replace(
    NOT_ASCII,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
