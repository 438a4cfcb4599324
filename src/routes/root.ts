// GET / and GET /v1/: the documents by which clients find the rest of the API.

import { type Static, Type } from "@sinclair/typebox";
import { origin } from "./request-url.ts";
import { jsonResponse } from "./responses.ts";
import { router } from "./routing.ts";
import { typed } from "./typed.ts";

const Link = Type.Object({ href: Type.String(), rel: Type.String(), type: Type.Optional(Type.String()) });
const Version = Type.Object({ id: Type.Literal("v1"), links: Type.Array(Link) });
export const RootDocument = Type.Object({
  name: Type.String(),
  description: Type.String(),
  versions: Type.Array(Version),
  default_version: Version,
});
export const VersionDocument = Type.Object({
  commands: Type.Array(Link),
  status: Type.Array(Link),
  media_types: Type.Array(Type.Object({ base: Type.String(), type: Type.String() })),
  id: Version.properties.id,
  links: Version.properties.links,
});

export function rootRoutes() {
  return router()
    .get("/", ({ request }) => jsonResponse(rootDocument(origin(request))), {
      response: { 200: typed(RootDocument) },
      detail: { summary: "The versions of the API.", description: "Needs no token." },
    })
    .get("/v1/", ({ request }) => jsonResponse(versionDocument(origin(request))), {
      response: { 200: typed(VersionDocument) },
      detail: { summary: "The resources of version 1.", description: "Needs no token." },
    });
}

/** `host` is scheme and host as the client sent them. */
function rootDocument(host: string): Static<typeof RootDocument> {
  return {
    name: "OpenStack Ironic Python Agent API",
    description: "Ironic Python Agent is a provisioning agent for OpenStack Ironic",
    versions: [version(host)],
    default_version: version(host),
  };
}

function versionDocument(host: string): Static<typeof VersionDocument> {
  const resource = (name: string) => [
    { href: `${host}/v1/${name}`, rel: "self" },
    { href: `${host}/${name}`, rel: "bookmark" },
  ];
  return {
    commands: resource("commands"),
    status: resource("status"),
    media_types: [
      { base: "application/json", type: "application/vnd.openstack.ironic-python-agent.v1+json" },
    ],
    ...version(host),
  };
}

function version(host: string): Static<typeof Version> {
  return {
    id: "v1",
    links: [
      { href: `${host}/v1`, rel: "self" },
      {
        href: "https://docs.openstack.org/ironic-python-agent/",
        rel: "describedby",
        type: "text/html",
      },
    ],
  };
}
