// The OpenAPI document: that it is one, that it describes everything, and that it tells the truth.

import { describe, expect, test } from "bun:test";
import { type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { EXTENSIONS } from "../../src/extensions/extensions.ts";
import { documentedBy } from "../../src/routes/typed.ts";
import { apiFixture } from "./fixture.ts";

type Schema = { readonly [key: string]: unknown };
type Operation = {
  readonly summary: string;
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: unknown;
  readonly responses: Record<string, { content: Record<string, { schema: Schema }> }>;
};
type OpenApi = {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly schemas: Record<string, Schema> };
};

async function served(): Promise<OpenApi> {
  const { get } = await apiFixture();
  return (await get("/v1/openapi.json")).json as OpenApi;
}

const commandNames = EXTENSIONS.flatMap(({ name, commands }) =>
  [...commands.keys()].map((short) => `${name}.${short}`),
);

describe("the OpenAPI document", () => {
  test("is served to everybody, and names the release", async () => {
    const { openapi, info } = await served();
    expect(openapi).toBe("3.1.0");
    expect(info).toMatchObject({ title: "ironic-agent", version: "6.4.4" });
  });

  test("has every resource, each with its methods", async () => {
    const { paths } = await served();
    const listed = Object.entries(paths).map(
      ([path, operations]) => `${Object.keys(operations).join()} ${path}`,
    );
    expect(listed).toEqual([
      "get /",
      "get /metrics",
      "get /v1/",
      "get,post /v1/commands/",
      "get /v1/commands/{id}",
      "get /v1/commands/{id}/events",
      "get /v1/openapi.json",
      "get /v1/status",
    ]);
    for (const operation of Object.values(paths).flatMap((operations) => Object.values(operations))) {
      expect(operation.summary).toMatch(/\.$/);
      expect(Object.keys(operation.responses)).toContain("200");
    }
    const names = paths["/v1/commands/{id}"]?.get?.parameters.map(
      ({ name, in: place }) => `${place} ${name}`,
    );
    expect(names).toEqual(["path id", "query agent_token", "query wait"]);
  });

  test("has every command of every extension, in a sentence, with its parameters", async () => {
    const { components, paths } = await served();
    for (const name of commandNames) {
      const schema = components.schemas[name] as { description: string; properties: Record<string, Schema> };
      expect([name, schema.description]).toEqual([
        name,
        expect.stringMatching(/^[A-Z].+\. (Syn|Asyn)chronous: /),
      ]);
      expect(schema.properties.name).toEqual({ const: name });
    }
    expect(components.schemas["deploy.execute_deploy_step"]).toMatchObject({
      required: ["name", "params"],
      properties: {
        params: { type: "object", required: ["step", "node", "ports"], additionalProperties: true },
      },
    });
    const body = JSON.stringify(paths["/v1/commands/"]?.post?.requestBody);
    for (const name of commandNames) expect(body).toContain(`"#/components/schemas/${name}"`);
  });

  test("refers to nothing that is not there", async () => {
    const document = await served();
    const references = JSON.stringify(document).match(/"#\/components\/schemas\/[^"]+"/g) ?? [];
    const known = Object.keys(document.components.schemas).map((name) => `"#/components/schemas/${name}"`);
    expect(references.filter((reference) => !known.includes(reference))).toEqual([]);
    // What typed() keeps for itself does not get out.
    expect(JSON.stringify(document)).not.toContain("x-documented");
  });

  test("describes what is really answered", async () => {
    const { paths } = await served();
    const { get, post } = await apiFixture();
    const { json } = await post("test.echo_sync", { value: 1 });
    const schema = (path: string, status: string) =>
      paths[path]?.get?.responses[status]?.content["application/json"]?.schema ?? {};
    for (const [asked, path, status] of [
      ["/", "/", 200],
      ["/v1/", "/v1/", 200],
      ["/v1/status", "/v1/status", 200],
      ["/v1/commands/", "/v1/commands/", 200],
      [`/v1/commands/${json.id}`, "/v1/commands/{id}", 200],
      ["/v1/commands/nosuch", "/v1/commands/{id}", 404],
      ["/v1/commands/?agent_token=wrong", "/v1/commands/", 401],
    ] as const) {
      const answer = await get(asked);
      expect([asked, answer.status]).toEqual([asked, status]);
      const wanted = revive(schema(path, String(status)));
      expect([asked, [...Value.Errors(wanted, answer.json)]]).toEqual([asked, []]);
    }
  });

  test("is not confused by schemas it was not given", () => {
    expect(documentedBy(null)).toBeNull();
    expect(documentedBy({ type: "object" })).toBeNull();
  });
});

/** A schema that has been JSON as TypeBox's checker knows it; what is not understood here is an error. */
function revive(schema: Schema): TSchema {
  const {
    type,
    anyOf,
    const: constant,
    properties,
    items,
    required,
  } = schema as {
    type?: string;
    anyOf?: Schema[];
    const?: string;
    properties?: Record<string, Schema>;
    items?: Schema;
    required?: string[];
  };
  if (constant !== undefined) return Type.Literal(constant);
  if (anyOf !== undefined) return Type.Union(anyOf.map(revive));
  switch (type) {
    case "object": {
      const members = Object.entries(properties ?? {}).map(([name, member]): [string, TSchema] => [
        name,
        required?.includes(name) ? revive(member) : Type.Optional(revive(member)),
      ]);
      return Type.Object(Object.fromEntries(members));
    }
    case "array":
      return Type.Array(revive(items ?? {}));
    case "string":
      return Type.String();
    case "number":
    case "integer":
      return Type.Number();
    case "null":
      return Type.Null();
    case undefined:
      return Type.Unknown();
    default:
      throw new Error(`${type} is not understood`);
  }
}
