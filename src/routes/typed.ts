// Schemas that type and document a route without checking anything. What may be sent here, and how it is refused, follows the
// reference (control-plane specification 3.3), which no validator does; answers are finished when the router sees them. So the router
// gets types for the client (src/client.ts) and the OpenAPI document gets schemas (openapi.ts), from one place.

import { type Static, type TSchema, Type } from "@sinclair/typebox";

export type Documented = { readonly schema: TSchema; readonly mediaType: string };

const KEY = "x-documented";

/** Accepts everything, has the static type of `schema`, and remembers it for `documentedBy`. */
export function typed<T extends TSchema>(schema: T, mediaType = "application/json") {
  const documented: Documented = { schema, mediaType };
  return Type.Unsafe<Static<T>>(Type.Unknown({ [KEY]: documented }));
}

/** What was given to `typed`; null for anything else. */
export function documentedBy(value: unknown): Documented | null {
  if (typeof value !== "object" || value === null || !(KEY in value)) return null;
  return value[KEY] as Documented;
}
