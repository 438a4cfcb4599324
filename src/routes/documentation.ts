// docs/api.md, made from the OpenAPI document. Not part of the executable.

import { isJsonObject, type Json, type JsonObject, member } from "../json.ts";

/** `document`: what openApiDocument makes. */
export function apiReference(document: JsonObject): string {
  const paths = objects(document.paths);
  const schemas = objects(member(document.components, "schemas"));
  const extensions = new Map<string, [string, JsonObject][]>();
  for (const entry of schemas) {
    const [extension = ""] = entry[0].split(".");
    extensions.set(extension, [...(extensions.get(extension) ?? []), entry]);
  }
  return [
    INTRODUCTION,
    "## Resources\n",
    ...paths.flatMap(([path, operations]) =>
      objects(operations).map(([method, operation]) => resource(method.toUpperCase(), path, operation)),
    ),
    "## Commands\n",
    "The parameters of `POST /v1/commands/`, by extension. Parameters that a command does not know are ignored, with a warning in the log; " +
      "one that is missing or of the wrong type is answered 400, and names every complaint at once.\n",
    ...[...extensions].map(([extension, commands]) =>
      [`### ${extension}\n`, ...commands.map(([name, schema]) => command(name, schema))].join("\n"),
    ),
    EPILOGUE,
  ].join("\n");
}

function resource(method: string, path: string, operation: JsonObject): string {
  const parameters = list(operation.parameters).filter((parameter) => parameter.in === "query");
  const answers = objects(operation.responses).map(([status, answer]) => {
    const [mediaType] = objects(answer.content)[0] ?? [];
    return `${status} ${mediaType === "application/json" ? "" : `(${mediaType}) `}${text(answer.description)}`;
  });
  return [
    `### \`${method} ${path}\`\n`,
    `${[text(operation.summary), text(operation.description)].filter((part) => part !== "").join(" ")}\n`,
    ...parameters.map(({ name, description }) => `- query \`${text(name)}\`: ${text(description)}`),
    `- answers: ${answers.join(" · ")}\n`,
  ].join("\n");
}

function command(name: string, schema: JsonObject): string {
  const params = member(schema.properties, "params");
  const required = list(member(params, "required")).map(String);
  const rows = objects(member(params, "properties")).map(
    ([parameter, type]) =>
      `| \`${parameter}\`${required.includes(parameter) ? " (required)" : ""} | ${typeText(type)} | ${text(type.description) || meaning(type)} |`,
  );
  return [
    `**\`${name}\`** — ${text(schema.description)}\n`,
    ...(rows.length === 0
      ? ["No parameters.\n"]
      : ["| parameter | type | meaning |", "|---|---|---|", ...rows, ""]),
  ].join("\n");
}

/** A nullable parameter has its description on the alternative that is not null. */
function meaning(type: JsonObject): string {
  return list(type.anyOf)
    .map(({ description }) => text(description))
    .join("");
}

function typeText(type: JsonObject): string {
  if (Array.isArray(type.anyOf)) return list(type.anyOf).map(typeText).join(" or ");
  if (type.type === "array" && isJsonObject(type.items) && type.items.type !== undefined)
    return `list of ${typeText(type.items)}s`;
  return { array: "list", integer: "whole number" }[text(type.type)] ?? (text(type.type) || "anything");
}

/** Members that are objects. */
function objects(value: Json | undefined): [string, JsonObject][] {
  return Object.entries(isJsonObject(value) ? value : {}).flatMap(([name, inner]): [string, JsonObject][] =>
    isJsonObject(inner) ? [[name, inner]] : [],
  );
}

function list(value: Json | undefined): JsonObject[] {
  return Array.isArray(value) ? (value as JsonObject[]) : [];
}

function text(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}

const INTRODUCTION = `# The agent's API

This page is made from the agent's own description of its API (\`npm run docs\`), which every agent serves at \`/v1/openapi.json\` and
which is in [openapi.json](openapi.json) for those who generate clients.

Ironic's conductors are the ones who use it. An agent listens on port 9999, with TLS by default when Ironic is 1.68 or newer; its certificate
is in \`/run/ironic-python-agent/agent.crt\` of the ramdisk.

    curl --cacert agent.crt https://192.0.2.7:9999/v1/status
    curl --cacert agent.crt "https://192.0.2.7:9999/v1/commands/?agent_token=$TOKEN"
    curl --cacert agent.crt "https://192.0.2.7:9999/v1/commands/?agent_token=$TOKEN&wait=true" \\
      --data '{"name": "standby.sync", "params": {}}'
    curl --no-buffer --cacert agent.crt "https://192.0.2.7:9999/v1/commands/$ID/events?agent_token=$TOKEN"

The token is the one that Ironic handed to the agent at the lookup. An agent started with \`--standalone\` and without \`--agent_token\` takes
commands from everybody who can reach it: for test benches only.

Every refusal is JSON, \`{"faultcode": "Client" | "Server", "faultstring": "…"}\`. A command that ran and failed is no refusal: it is answered
200, with \`command_status\` FAILED and the error in \`command_error\`. The body of a command may have up to 512 MiB; its Content-Type means
nothing. A connection on which nothing is asked for two minutes is closed.
`;

const EPILOGUE = `## Typed client

For TypeScript, a release's \`ironic-agent-sdk-VERSION.tgz\` (\`dist/sdk\` of a build) has the API's types for [Eden](https://elysiajs.com/eden/overview) (\`npm install @elysiajs/eden elysia\`):

\`\`\`ts
import { treaty } from "@elysiajs/eden";
import type { AgentApi } from "ironic-agent/client";

const agent = treaty<AgentApi>("https://192.0.2.7:9999", { parseDate: false });
const { data, error } = await agent.v1.commands.post({ name: "standby.sync", params: {} }, { query: { agent_token, wait: true } });
if (error) throw new Error(JSON.stringify(error.value)); // {"faultcode": …, "faultstring": …}
const events = await agent.v1.commands({ id: data.id }).events.get({ query: { agent_token } });
for await (const { event, data: details } of events.data ?? []) console.log(event, details);
\`\`\`

Compile with \`skipLibCheck\`: the types of Elysia and Eden themselves are not as strict as they could be. \`parseDate: false\` keeps texts that look like dates what they are: texts.
`;
