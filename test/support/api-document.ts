// The API's description of itself, of the commands that the agent really has, without an agent.

import { EXTENSIONS } from "../../src/extensions/extensions.ts";
import { CommandRegistry } from "../../src/extensions/registry.ts";
import { AgentToken } from "../../src/ironic/token.ts";
import type { JsonObject } from "../../src/json.ts";
import { createApi } from "../../src/routes/api.ts";
import { Authorization } from "../../src/routes/authorization.ts";
import { AGENT_VERSION } from "../../src/version.ts";
import { fixture } from "../extensions/fixture.ts";

export async function apiDocument(): Promise<JsonObject> {
  const { system, services, metrics } = await fixture();
  const { config } = services;
  const api = createApi({
    system,
    config,
    metrics,
    status: { started_at: 0, version: AGENT_VERSION },
    commands: new CommandRegistry(EXTENSIONS, services),
    authorization: new Authorization({
      config,
      token: new AgentToken(null),
      log: system.log,
      ironicApiMinor: () => null,
    }),
    onConductorRequest: () => undefined,
  });
  const answer = await api(new Request("http://agent.test/v1/openapi.json"), null);
  return (await answer.json()) as JsonObject;
}

/** docs/openapi.json. */
export function openApiFile(document: JsonObject): string {
  return `${JSON.stringify(document, null, 2)}\n`;
}
