// The agent's REST API as one function from request to response: Hono's request log, then an Elysia router.

import { Type } from "@sinclair/typebox";
import { Hono } from "hono";
import { mount } from "hono/mount";
import type { Config } from "../config/config.ts";
import type { CommandRegistry } from "../extensions/registry.ts";
import type { JsonObject } from "../json.ts";
import type { MetricsRecorder } from "../metrics/recorder.ts";
import type { System } from "../system/system.ts";
import type { Authorization } from "./authorization.ts";
import { CommandEvents } from "./command-events.ts";
import { type CommandRoutesOptions, commandRoutes } from "./commands.ts";
import { faultResponse, isExpected } from "./errors.ts";
import { metricsRoutes } from "./metrics.ts";
import { nearMisses } from "./near-misses.ts";
import { openApiDocument } from "./openapi.ts";
import { type PeerBindings, REQUEST_LOGGER, requestLog } from "./request-log.ts";
import { path, pathStart, search } from "./request-url.ts";
import { jsonResponse } from "./responses.ts";
import { rootRoutes } from "./root.ts";
import { router, unknownPath } from "./routing.ts";
import { type Status, statusRoutes } from "./status.ts";
import { typed } from "./typed.ts";

export type ApiOptions = {
  readonly system: System;
  readonly status: Status;
  readonly commands: CommandRegistry;
  readonly authorization: Authorization;
  readonly metrics: MetricsRecorder;
  readonly config: Config;
  /** See CommandRoutesOptions. */
  readonly onConductorRequest: () => void;
};

/**
 * For the server that calls the handler: no limit of its own, so that it is the API that refuses, and in its
 * own form.
 */
export const SERVER_BODY_LIMIT = Number.MAX_SAFE_INTEGER;

/** Answers one request; see HttpHandler. Never rejects. */
export type ApiHandler = (request: Request, peer: string | null, unhurried?: () => void) => Promise<Response>;

type SharedOptions = ApiOptions & CommandRoutesOptions;

const ROUTER_STARTS_AT = 11;

export function createApi(options: ApiOptions): ApiHandler {
  /** The router hands its routes nothing but the request. */
  const unhurriedBy = new WeakMap<Request, () => void>();
  const onBodyRead = (request: Request) => unhurriedBy.get(request)?.();
  const { clock } = options.system;
  const events = new CommandEvents(clock, (id, signal, after) => options.commands.follow(id, signal, after));
  const shared = { ...options, events, onBodyRead };
  const log = options.system.log.named("ironic_agent.api");
  const routes = router()
    .onError({ as: "global" }, ({ code, error, request }) => {
      if (code === "NOT_FOUND") return unknownPath(request);
      if (!isExpected(error)) log.error(`${request.method} ${path(request)} failed`, error);
      return faultResponse(error);
    })
    .use(nearMisses())
    .use(resources(shared))
    .use(documented(shared));
  const api = new Hono<PeerBindings>()
    .use(requestLog(options.system.log.named(REQUEST_LOGGER), clock))
    // The request itself is passed on: a copy with a rewritten URL would not be what the client sent.
    .all("*", mount(routes.fetch, { replaceRequest: false }))
    .onError(faultResponse);
  return async (received, peer, unhurried) => {
    const request = routable(received);
    if (unhurried !== undefined) unhurriedBy.set(request, unhurried);
    return api.fetch(request, { peer });
  };
}

/** What has a place in the client's types and in the OpenAPI document: everything, once. */
function documented(options: SharedOptions) {
  let document: JsonObject | null = null;
  const routes = router()
    .use(rootRoutes())
    .group("/v1", (v1) =>
      v1.use(resources(options)).get(
        "/openapi.json",
        () => {
          document ??= openApiDocument(routes.routes, options.commands.extensions, options.status.version);
          return jsonResponse(document);
        },
        {
          response: { 200: typed(Type.Unsafe<JsonObject>(Type.Object({}))) },
          detail: { summary: "This document.", description: "Needs no token." },
        },
      ),
    )
    .use(metricsRoutes(options));
  return routes;
}

/** For typed clients (src/client.ts). */
export type AgentApi = ReturnType<typeof documented>;

/** What is there below /v1 and, for old clients, without a version. */
function resources(options: SharedOptions) {
  return router().use(statusRoutes(options.status, options.metrics)).use(commandRoutes(options));
}

/**
 * The router looks for the path from the twelfth character of the URL on, which a host name of one letter
 * breaks, and so does HTTP/1.0: it needs no Host header, and without one the server hands on a URL that is
 * only a path.
 */
function routable(request: Request): Request {
  if (pathStart(request.url) >= ROUTER_STARTS_AT) return request;
  const scheme = request.url.startsWith("https:") ? "https" : "http";
  return new Request(`${scheme}://localhost${path(request)}${search(request)}`, request);
}
