// What the resources share: a router with the reference's rules, and its answers to near misses.

import { Elysia } from "elysia";
import { faultResponse, methodNotAllowed, notFound } from "./errors.ts";
import { origin, path, search } from "./request-url.ts";
import { permanentRedirect } from "./responses.ts";

/** Every resource answers below /v1 and, for old clients, without a version. */
export const PREFIXES = ["/v1", ""] as const;

export const READ_ONLY = "GET, HEAD";
export const READ_AND_COMMAND = "GET, POST, HEAD";

export function router() {
  return new Elysia({
    // /v1/status/ is not /v1/status.
    strictPath: true,
    // Nothing may vanish from what clients send: plug-in managers' steps have parameters no schema knows.
    normalize: false,
  });
}

/** For the methods that a resource does not have. */
export function refuse(allow: string): () => never {
  return () => {
    throw methodNotAllowed(allow);
  };
}

/** For a resource whose path ends in a slash, asked for without it: conductors up to Train do that. */
export function addSlash({ request }: { request: Request }): Response {
  return permanentRedirect(`${origin(request)}${path(request)}/${search(request)}`);
}

/** For a path that no route has. */
export function unknownPath(request: Request): Response {
  const asked = path(request);
  const merged = asked.replace(/\/{2,}/g, "/");
  if (merged === asked) return faultResponse(notFound());
  return permanentRedirect(`${origin(request)}${merged}${search(request)}`);
}
