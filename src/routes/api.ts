// The agent's REST API as one function from request to response: Hono's request log, then an Elysia router.

import { Hono } from "hono";
import { mount } from "hono/mount";
import type { CommandRegistry } from "../extensions/registry.ts";
import type { System } from "../system/system.ts";
import type { Authorization } from "./authorization.ts";
import { commandRoutes } from "./commands.ts";
import { faultResponse, isExpected } from "./errors.ts";
import { type PeerBindings, requestLog } from "./request-log.ts";
import { path, pathStart, search } from "./request-url.ts";
import { rootRoutes } from "./root.ts";
import { router, unknownPath } from "./routing.ts";
import { type Status, statusRoutes } from "./status.ts";

export type ApiOptions = {
  readonly system: System;
  readonly status: Status;
  readonly commands: CommandRegistry;
  readonly authorization: Authorization;
  /** See CommandRoutesOptions. */
  readonly onConductorRequest: () => void;
};

/**
 * For the server that calls the handler: no limit of its own, so that it is the API that refuses, and in its
 * own form.
 */
export const SERVER_BODY_LIMIT = Number.MAX_SAFE_INTEGER;

/** Answers one request. `peer` is the client's address, for the log. Never rejects. */
export type ApiHandler = (request: Request, peer: string | null) => Promise<Response>;

const ROUTER_STARTS_AT = 11;

export function createApi(options: ApiOptions): ApiHandler {
  const { system, status, ...commandOptions } = options;
  const log = system.log.named("ironic_agent.api");
  const routes = router()
    .onError({ as: "global" }, ({ code, error, request }) => {
      if (code === "NOT_FOUND") return unknownPath(request);
      if (!isExpected(error)) log.error(`${request.method} ${path(request)} failed`, error);
      return faultResponse(error);
    })
    .use(rootRoutes())
    .use(statusRoutes(status))
    .use(commandRoutes(commandOptions));
  const api = new Hono<PeerBindings>()
    .use(requestLog(log))
    // The request itself is passed on: a copy with a rewritten URL would not be what the client sent.
    .all("*", mount(routes.fetch, { replaceRequest: false }))
    .onError(faultResponse);
  return async (request, peer) => api.fetch(routable(request), { peer });
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
