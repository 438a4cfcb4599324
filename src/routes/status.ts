// GET /v1/status: who is there and since when. Open to everybody, as monitoring needs it.

import { type Static, Type } from "@sinclair/typebox";
import type { Metrics } from "../metrics/metrics.ts";
import { jsonResponse } from "./responses.ts";
import { router } from "./routing.ts";
import { typed } from "./typed.ts";

export const Status = Type.Object({
  started_at: Type.Number({ description: "Seconds since 1970." }),
  version: Type.String(),
});
export type Status = Static<typeof Status>;

export function statusRoutes(status: Status, metrics: Metrics) {
  const timer = metrics.timer("ironic_python_agent.api.app.get_status");
  return router().get("/status", () => timer.time(() => jsonResponse(status)), {
    response: { 200: typed(Status) },
    detail: { summary: "Who is there and since when.", description: "Needs no token." },
  });
}
