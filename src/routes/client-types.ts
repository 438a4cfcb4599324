// What clients in TypeScript call the things of the API, taken from the routes' types so that they need nothing but those.

import type { AgentApi } from "./api.ts";

type Version1 = AgentApi["~Routes"]["v1"];
type Command = Version1["commands"][":id"];

export type Status = Version1["status"]["get"]["response"][200];
export type CommandResult = Command["get"]["response"][200];
export type Fault = Command["get"]["response"][404];
/** One event of `GET /v1/commands/{id}/events`. */
export type StreamedEvent =
  Command["events"]["get"]["response"][200] extends AsyncIterable<infer Event> ? Event : never;
