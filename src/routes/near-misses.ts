// What clients ask for that is almost a resource: a method that it does not have, a path without its last slash. The answers are the
// reference's (control-plane specification 3.2). They are routes of their own, because the typed routes are also what the client's
// types and the OpenAPI document are made of.

import { methodNotAllowed } from "./errors.ts";
import { origin, path, search } from "./request-url.ts";
import { permanentRedirect } from "./responses.ts";
import { PREFIXES, router } from "./routing.ts";

const READ_ONLY = "GET, HEAD";
const READ_AND_COMMAND = "GET, POST, HEAD";

const READ_ONLY_RESOURCES = [
  "/",
  "/v1/",
  "/v1/openapi.json",
  "/metrics",
  ...PREFIXES.flatMap((prefix) => [
    `${prefix}/status`,
    `${prefix}/commands/:id`,
    `${prefix}/commands/:id/events`,
  ]),
];

export function nearMisses() {
  const routes = router();
  for (const resource of READ_ONLY_RESOURCES) routes.all(resource, refuse(READ_ONLY));
  routes.get("/v1", addSlash).all("/v1", refuse(READ_ONLY));
  for (const prefix of PREFIXES)
    routes
      .all(`${prefix}/commands/`, refuse(READ_AND_COMMAND))
      .get(`${prefix}/commands`, addSlash)
      .post(`${prefix}/commands`, addSlash, { parse: "none" })
      .all(`${prefix}/commands`, refuse(READ_AND_COMMAND));
  return routes;
}

/** For the methods that a resource does not have. */
function refuse(allow: string): () => never {
  return () => {
    throw methodNotAllowed(allow);
  };
}

/** For a resource whose path ends in a slash, asked for without it: conductors up to Train do that. */
function addSlash({ request }: { request: Request }): Response {
  return permanentRedirect(`${origin(request)}${path(request)}/${search(request)}`);
}
