// The types of the API for clients in TypeScript, published by build.ts as "ironic-agent/client":
//
//   import { treaty } from "@elysiajs/eden";
//   import type { AgentApi } from "ironic-agent/client";
//   const agent = treaty<AgentApi>("https://192.0.2.7:9999", { parseDate: false });
//   const { data } = await agent.v1.commands.get({ query: { agent_token } });

export type { Json, JsonObject } from "./json.ts";
export type { AgentApi } from "./routes/api.ts";
export type { CommandResult, Fault, Status, StreamedEvent } from "./routes/client-types.ts";
