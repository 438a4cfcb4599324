// The API through Eden's client, typed by the routes themselves: over a real socket with TLS. That this file compiles is half the test.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { treaty } from "@elysiajs/eden";
import type { AgentApi, CommandResult, StreamedEvent } from "../src/client.ts";
import { SERVER_BODY_LIMIT } from "../src/routes/api.ts";
import { realClock } from "../src/system/clock.ts";
import { type Listening, realHttpListener } from "../src/system/http-server.ts";
import { step } from "./extensions/fixture.ts";
import { type ApiFixture, apiFixture, TOKEN } from "./routes/fixture.ts";
import { selfSigned, type TestCertificate } from "./support/certificate.ts";

let api: ApiFixture;
let certificate: TestCertificate;
let server: Listening;
let agent: ReturnType<typeof connect>;

/** The step talks when somebody listens. */
const watched = Promise.withResolvers<void>();
const query = { agent_token: TOKEN };

function connect() {
  const tls = { ca: certificate.cert };
  return treaty<AgentApi>(`https://127.0.0.1:${server.port}`, {
    parseDate: false,
    fetch: { tls } as RequestInit,
  });
}

beforeAll(async () => {
  const steps = [
    step("talk", async ({ system, report }) => {
      await watched.promise;
      system.log.info("2026-11-22T20:00:00.000Z is a text");
      report({ phase: "talking", done: 1, total: 2, unit: "line", rate: null });
      return "over";
    }),
  ];
  api = await apiFixture({ clock: realClock, config: { standalone: false }, token: TOKEN, steps });
  certificate = await selfSigned("127.0.0.1");
  server = await realHttpListener({
    host: "127.0.0.1",
    port: 0,
    tls: certificate,
    maxRequestBody: SERVER_BODY_LIMIT,
    handle: api.api,
  });
  agent = connect();
});

afterAll(async () => {
  await server.stop(1);
  await certificate[Symbol.asyncDispose]();
});

test("documents and status", async () => {
  const status = await agent.v1.status.get();
  const version: string | undefined = status.data?.version;
  expect(version).toBe("6.4.4");
  expect((await agent.v1["openapi.json"].get()).data?.openapi).toBe("3.1.0");
});

test("a command, its answer, its record; a refusal with its fault", async () => {
  const { data } = await agent.v1.commands.post(
    { name: "standby.get_partition_uuids", params: {} },
    { query: { ...query, wait: true } },
  );
  const result: CommandResult | null = data;
  expect(result).toMatchObject({ command_name: "get_partition_uuids", command_status: "SUCCEEDED" });
  expect((await agent.v1.commands.get({ query })).data?.commands.at(-1)).toEqual(result!);
  expect((await agent.v1.commands({ id: result!.id }).get({ query })).data).toEqual(result);

  const refused = await agent.v1.commands.post({ name: "nosuch.command", params: {} }, { query });
  expect(refused.status).toBe(404);
  if (refused.error?.status !== 404) throw new Error("not refused");
  const text: string = refused.error.value.faultstring;
  expect(text).toBe("Not found: Extension with id nosuch not found.");
});

test("live events", async () => {
  const params = { step: { step: "talk" }, node: {}, ports: [] };
  const { data } = await agent.v1.commands.post({ name: "clean.execute_clean_step", params }, { query });
  const events = await agent.v1.commands({ id: data!.id }).events.get({ query });
  const seen: StreamedEvent[] = [];
  for await (const event of events.data!) {
    seen.push(event);
    watched.resolve();
  }
  expect(seen[0]).toMatchObject({ event: "state", data: { command_status: "RUNNING" } });
  expect(seen.map(({ event }) => event)).toContain("progress");
  const last = seen.at(-1);
  expect(last?.event === "state" && last.data.command_status).toBe("SUCCEEDED");
  const lines = seen.flatMap((event) => (event.event === "log" ? [event.data.message] : []));
  expect(lines[0]).toBe("2026-11-22T20:00:00.000Z is a text");
});
