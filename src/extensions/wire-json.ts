// Turns what a command returned into JSON, once, when it ends: a result that JSON cannot hold must fail its
// own command and never the list of commands, which conductors read at every heartbeat.

import type { Json } from "../json.ts";

/**
 * A copy of `value` as JSON. Members that are undefined are left out, as JSON.stringify does; everything else
 * that JSON has no form for is an error rather than a silent `{}`.
 * @throws TypeError naming the place and the kind of value
 */
export function toWireJson(value: unknown): Json {
  return value === undefined ? null : convert(value, "the result", []);
}

function convert(value: unknown, place: string, parents: readonly object[]): Json {
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number") {
    if (Number.isFinite(value)) return value;
    throw new TypeError(`${place} is ${value}, which JSON cannot hold`);
  }
  if (typeof value !== "object") throw new TypeError(`${place} is a ${typeof value}, which JSON cannot hold`);
  if (parents.includes(value)) throw new TypeError(`${place} contains itself, which JSON cannot hold`);
  const path = [...parents, value];
  if (Array.isArray(value))
    return value.map((member, index) => convert(member ?? null, `${place}[${index}]`, path));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    const kind = value.constructor?.name ?? "foreign object";
    throw new TypeError(`${place} is a ${kind}, which JSON cannot hold`);
  }
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .map(([key, member]) => [key, convert(member, `${place}.${key}`, path)]),
  );
}
