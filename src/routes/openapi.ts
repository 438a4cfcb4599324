// The API described for machines: OpenAPI 3.1, made from the routes and from the commands' own parameter schemas, so it cannot say
// anything else than what is served. (@elysiajs/openapi would describe the routes, but not what one route, POST commands, is all
// about: the commands; and its page loads scripts from the internet, which a ramdisk does not have.)

import type { TSchema } from "@sinclair/typebox";
import type { Command, Extension } from "../extensions/command.ts";
import type { Json, JsonObject } from "../json.ts";
import { documentedBy } from "./typed.ts";

/** What the router tells of a route. */
export type RouteDescription = {
  readonly method: string;
  readonly path: string;
  readonly hooks: {
    readonly query?: unknown;
    readonly body?: unknown;
    readonly response?: unknown;
    readonly detail?: { readonly summary?: string; readonly description?: string };
  };
};

const ABOUT =
  "The API that Ironic's conductors drive the agent with. The resources below /v1 are there without it, too. Every refusal is a Fault; " +
  "resources that end in a slash answer 308 without it, and any other method than those listed is answered 405.";

const REASONS: Readonly<Record<string, string>> = {
  200: "OK",
  400: "What was sent makes no sense.",
  401: "The token is missing or wrong.",
  404: "There is no such thing.",
  409: "Another command is running.",
  413: "The body is larger than 512 MiB.",
  503: "Too many are reading.",
};

export function openApiDocument(
  routes: readonly RouteDescription[],
  extensions: readonly Extension[],
  version: string,
): JsonObject {
  const commands = allCommands(extensions);
  const paths: Record<string, JsonObject> = {};
  for (const route of [...routes].sort((a, b) => compare(a.path, b.path))) {
    const path = route.path.replace(/:(\w+)/g, "{$1}");
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route, commands) };
  }
  return {
    openapi: "3.1.0",
    info: { title: "ironic-agent", description: ABOUT, version, license: { name: "Apache-2.0" } },
    paths,
    components: {
      schemas: Object.fromEntries(commands.map(([name, command]) => [name, commandSchema(name, command)])),
    },
  };
}

/** By full name, in alphabetical order. */
function allCommands(extensions: readonly Extension[]): [string, Command][] {
  return extensions
    .flatMap(({ name, commands }) =>
      [...commands].map(([short, command]): [string, Command] => [`${name}.${short}`, command]),
    )
    .sort(([a], [b]) => compare(a, b));
}

function operation({ path, hooks }: RouteDescription, commands: readonly [string, Command][]): JsonObject {
  const { summary = "", description = "" } = hooks.detail ?? {};
  const inPath = [...path.matchAll(/:(\w+)/g)].map(
    ([, name = ""]): JsonObject => ({ name, in: "path", required: true, schema: { type: "string" } }),
  );
  return {
    summary,
    ...(description === "" ? {} : { description }),
    parameters: [...inPath, ...queryParameters(documentedBy(hooks.query)?.schema)],
    ...(documentedBy(hooks.body) === null ? {} : { requestBody: commandBody(commands) }),
    responses: answers(hooks.response),
  };
}

function queryParameters(schema: TSchema | undefined): JsonObject[] {
  const properties: Readonly<Record<string, TSchema>> = schema?.properties ?? {};
  return Object.entries(properties).map(([name, { description, ...type }]) => ({
    name,
    in: "query",
    ...(description === undefined ? {} : { description }),
    schema: plain(type),
  }));
}

function answers(response: unknown): JsonObject {
  const byStatus = Object.entries(typeof response === "object" && response !== null ? response : {});
  return Object.fromEntries(
    byStatus.flatMap(([status, schema]): [string, Json][] => {
      const documented = documentedBy(schema);
      if (documented === null) return [];
      const content = { [documented.mediaType]: { schema: plain(documented.schema) } };
      return [[status, { description: REASONS[status] ?? status, content }]];
    }),
  );
}

/** The body of POST commands: one of the commands. */
function commandBody(commands: readonly [string, Command][]): JsonObject {
  const reference = (name: string) => `#/components/schemas/${name}`;
  const schema = {
    oneOf: commands.map(([name]) => ({ $ref: reference(name) })),
    discriminator: {
      propertyName: "name",
      mapping: Object.fromEntries(commands.map(([name]) => [name, reference(name)])),
    },
  };
  return { required: true, content: { "application/json": { schema } } };
}

function commandSchema(name: string, command: Command): JsonObject {
  const kind =
    command.kind === "sync"
      ? "Synchronous: the answer holds the result."
      : "Asynchronous: the answer comes at once, as RUNNING.";
  return {
    type: "object",
    description: `${command.summary ?? ""} ${kind}`.trim(),
    required: ["name", "params"],
    properties: {
      name: { const: name },
      // Parameters that nobody knows are no error, only of no use.
      params: { ...plain(command.params), additionalProperties: true },
    },
  };
}

/** A schema as JSON: what TypeBox keeps for itself is not part of it. */
function plain(schema: unknown): JsonObject {
  return JSON.parse(JSON.stringify(schema)) as JsonObject;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
