// GET /metrics: the agent's numbers for Prometheus. Open like the status, because a scraper cannot know the token and there is
// nothing in it but names, counts and times; `command_results_token = always` closes it together with the results.

import { Type } from "@sinclair/typebox";
import type { Config } from "../config/config.ts";
import { PROMETHEUS_CONTENT_TYPE, prometheusText } from "../metrics/prometheus.ts";
import type { MetricsRecorder } from "../metrics/recorder.ts";
import type { Authorization } from "./authorization.ts";
import { query } from "./request-url.ts";
import { router } from "./routing.ts";
import { typed } from "./typed.ts";

export type MetricsRoutesOptions = {
  readonly metrics: MetricsRecorder;
  readonly authorization: Authorization;
  readonly config: Config;
};

export function metricsRoutes({ metrics, authorization, config }: MetricsRoutesOptions) {
  return router().get(
    "/metrics",
    ({ request }) => {
      if (config.get("command_results_token") === "always")
        authorization.toRead(query(request).get("agent_token"));
      const text = prometheusText(metrics.series());
      return new Response(text, {
        // The text is ASCII, so its length is its size.
        headers: { "Content-Type": PROMETHEUS_CONTENT_TYPE, "Content-Length": String(text.length) },
      });
    },
    {
      response: { 200: typed(Type.String(), "text/plain") },
      detail: {
        summary: "The agent's numbers in Prometheus' text format.",
        description: "Needs no token unless `command_results_token` is `always`.",
      },
    },
  );
}
