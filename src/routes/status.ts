// GET /v1/status: who is there and since when. Open to everybody, as monitoring needs it.

import { type Static, Type } from "@sinclair/typebox";
import { jsonResponse } from "./responses.ts";
import { PREFIXES, READ_ONLY, refuse, router } from "./routing.ts";

export const Status = Type.Object({
  /** Seconds since 1970. */
  started_at: Type.Number(),
  version: Type.String(),
});
export type Status = Static<typeof Status>;

export function statusRoutes(status: Status) {
  const routes = router();
  for (const prefix of PREFIXES)
    routes.get(`${prefix}/status`, () => jsonResponse(status)).all(`${prefix}/status`, refuse(READ_ONLY));
  return routes;
}
