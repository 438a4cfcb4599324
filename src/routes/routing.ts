// What the resources share: a router with the reference's rules, and its answer to paths that nobody has.

import { Elysia } from "elysia";
import { faultResponse, notFound } from "./errors.ts";
import { origin, path, search } from "./request-url.ts";
import { permanentRedirect } from "./responses.ts";

/** Every resource answers below /v1 and, for old clients, without a version. */
export const PREFIXES = ["/v1", ""] as const;

export function router() {
  return new Elysia({
    // /v1/status/ is not /v1/status.
    strictPath: true,
    // Nothing may vanish from what clients send: plug-in managers' steps have parameters no schema knows.
    normalize: false,
  });
}

/** For a path that no route has. */
export function unknownPath(request: Request): Response {
  const asked = path(request);
  const merged = asked.replace(/\/{2,}/g, "/");
  if (merged === asked) return faultResponse(notFound());
  return permanentRedirect(`${origin(request)}${merged}${search(request)}`);
}
