// Long texts out of what is shown: config drives and file contents of hundreds of MiB come with commands, and neither the log nor the
// command list, which is read at each heartbeat, is the place for them.

/** Characters. */
const LONGEST = 1024;

/** A copy of a JSON-like value in which long texts are replaced by their length. */
export function shorten(value: unknown): unknown {
  if (typeof value === "string" && value.length > LONGEST) return `<${value.length} characters>`;
  if (Array.isArray(value)) return value.map(shorten);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, shorten(member)]));
}
