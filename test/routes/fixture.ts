// The API as the agent serves it, without a port: requests go straight into the handler.

import type { CommandResult } from "../../src/extensions/command-result.ts";
import { AgentToken } from "../../src/ironic/token.ts";
import { type ApiHandler, createApi } from "../../src/routes/api.ts";
import { Authorization } from "../../src/routes/authorization.ts";
import { type Fixture, type FixtureOptions, fixture } from "../extensions/fixture.ts";

export const HOST = "http://agent.test:9999";
export const TOKEN = "0123456789abcdef0123456789abcdef";

export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape.
  readonly json: any;
};

export type ApiFixture = Fixture & {
  readonly api: ApiHandler;
  readonly token: AgentToken;
  /** What discovery found; null before it. */
  ironicApiMinor: number | null;
  /** How often the API reported a request of the conductor. */
  conductorRequests: number;
  get(path: string): Promise<Answer>;
  request(method: string, path: string, body?: Bun.BodyInit): Promise<Answer>;
  /** POST /v1/commands/ */
  post(name: unknown, params: unknown, query?: string): Promise<Answer>;
};

export async function apiFixture(options: FixtureOptions & { token?: string } = {}): Promise<ApiFixture> {
  const made = await fixture(options);
  const { system, services } = made;
  const token = new AgentToken(options.token ?? null);
  const authorization = new Authorization({
    token,
    config: services.config,
    log: system.log,
    ironicApiMinor: () => complete.ironicApiMinor,
  });
  const status = { started_at: 1795329776.97, version: "6.4.4" };
  const api = createApi({
    system,
    status,
    commands: made.registry,
    metrics: made.metrics,
    config: services.config,
    authorization,
    onConductorRequest: () => {
      complete.conductorRequests++;
    },
  });
  const request = async (method: string, path: string, body?: Bun.BodyInit): Promise<Answer> => {
    const response = await api(
      new Request(`${HOST}${path}`, { method, ...(body === undefined ? {} : { body }) }),
      null,
    );
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: parse(text) };
  };
  const complete: ApiFixture = {
    ...made,
    api,
    token,
    ironicApiMinor: null,
    conductorRequests: 0,
    request,
    get: (path) => request("GET", path),
    post: (name, params, query = "") =>
      request("POST", `/v1/commands/${query}`, JSON.stringify({ name, params })),
  };
  return complete;
}

export function fault(answer: Answer): { code: number; text: string } {
  return { code: answer.status, text: (answer.json as { faultstring: string }).faultstring };
}

export function commands(answer: Answer): CommandResult[] {
  return (answer.json as { commands: CommandResult[] }).commands;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // HTML of a redirect, or nothing
  }
}
