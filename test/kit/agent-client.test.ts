// The command channel when things go wrong under way: connections that break, answers that never come, tokens
// (conductor contract 2.3 to 2.5, 2.7).

import { afterEach, beforeEach, expect, test } from "bun:test";
import { createServer, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Json } from "../../src/json.ts";
import { rejection, thrower } from "../support/rejection.ts";
import { AgentApiError, AgentClient, type AgentClientOptions, AgentConnectionError } from "./agent-client.ts";
import { testCertificate } from "./certificate.ts";
import { Node } from "./node.ts";
import { SimulatedPower } from "./simulated-power.ts";

const TOKEN = "t".repeat(43);
const STEP = { interface: "deploy", step: "write_image" };

/** What the server does with a request: an answer, a broken connection, or nothing at all. */
type Reply = { status?: number; body: Json } | { text: string } | "broken" | "silent";

let node: Node;
let server: Server;
/** What the server got, as "METHOD query". */
let seen: string[];
let reply: (method: string) => Reply;

function client(options: Partial<AgentClientOptions> = {}): AgentClient {
  const { signal } = new AbortController();
  return new AgentClient(node, {
    commandTimeout: 60_000,
    maxAttempts: 3,
    tokenOnGet: false,
    signal,
    ...options,
  });
}

async function listen(tls?: { cert: string; key: string }): Promise<string> {
  server = tls === undefined ? createServer() : createTlsServer(tls);
  server.on("request", (request, response) => {
    const { method = "", url = "" } = request;
    seen.push(`${method} ${new URL(url, "http://agent").search}`.trim());
    const decided = reply(method);
    if (decided === "broken") request.socket.destroy();
    else if (decided !== "silent") {
      response.statusCode = "status" in decided ? (decided.status ?? 200) : 200;
      response.end("text" in decided ? decided.text : JSON.stringify(decided.body));
    }
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  return `${tls === undefined ? "http" : "https"}://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

beforeEach(async () => {
  seen = [];
  reply = () => ({ body: { commands: [] } });
  node = new Node({ uuid: crypto.randomUUID(), macs: ["52:54:00:00:00:01"] }, new SimulatedPower());
  node.token = TOKEN;
  node.agent = { url: await listen(), version: "6.4.4", verifyCa: null };
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

test("POST always has wait and token, GET neither, unless the conductor is a newer one", async () => {
  reply = (method) => ({ body: method === "GET" ? { commands: [] } : { command_status: "RUNNING" } });
  await client().executeStep("deploy", STEP);
  await client().commands();
  await client({ tokenOnGet: true }).commands();
  expect(seen).toEqual([`POST ?wait=false&agent_token=${TOKEN}`, "GET", `GET ?agent_token=${TOKEN}`]);
});

test("a POST that breaks off is made good by the list when the command runs", async () => {
  const running = { command_name: "execute_deploy_step", command_status: "RUNNING", command_result: null };
  reply = (method) => (method === "GET" ? { body: { commands: [running] } } : "broken");
  expect(await client().executeStep("deploy", STEP)).toMatchObject(running);
  expect(seen.map((line) => line.split(" ")[0])).toEqual(["POST", "GET"]);
});

test.each([
  ["is not in the list", []],
  ["has ended", [{ command_name: "execute_deploy_step", command_status: "SUCCEEDED" }]],
])(
  "a POST that breaks off and whose command %s is sent again, three times in all",
  async (_what, commands) => {
    reply = (method) => (method === "GET" ? { body: { commands } } : "broken");
    expect(await rejection(client().executeStep("deploy", STEP))).toBeInstanceOf(AgentConnectionError);
    expect(seen.map((line) => line.split(" ")[0])).toEqual(["POST", "GET", "POST", "GET", "POST", "GET"]);
  },
);

test("an agent that says nothing counts as not reached", async () => {
  reply = () => "silent";
  const refusal = client({ commandTimeout: 20, maxAttempts: 1 }).powerOff();
  expect(await rejection(refusal)).toBeInstanceOf(AgentConnectionError);
});

test("an agent that is not there is an error without the token in it", async () => {
  server.close();
  const failure = await client()
    .powerOff()
    .then(String, (error: Error) => error.message);
  expect(failure).toStartWith("Connection to agent failed: ");
  expect(failure).not.toContain(TOKEN);
});

test("a closed conductor asks no more", async () => {
  const closing = new AbortController();
  reply = () => {
    closing.abort(new Error("closed"));
    return "broken";
  };
  expect(await thrower(client({ signal: closing.signal }).powerOff())).toThrow("closed");
  expect(seen).toHaveLength(1);
});

test("a certificate for another address is refused although it is the announced one", async () => {
  const tls = await testCertificate("127.0.0.9");
  server.close();
  node.agent = { url: await listen(tls), version: "6.4.4", verifyCa: tls.cert };
  expect(await thrower(client().commands())).toThrow(/ALTNAME/);
  expect(seen).toEqual([]);
});

test("the error type TypeError means an agent too old for the request", async () => {
  reply = () => ({
    body: { command_status: "FAILED", command_error: { type: "TypeError", code: 500, message: "no" } },
  });
  expect(await rejection(client().powerOff())).toBeInstanceOf(AgentApiError);
});

test("a refused GET fails for want of the list", async () => {
  reply = () => ({ status: 401, body: { faultcode: "Client", faultstring: "401 Unauthorized" } });
  expect(await thrower(client().commands())).toThrow("'commands'");
});

test.each(["<html>", "", "[1]"])("the answer %j is not the command API", async (text) => {
  reply = () => ({ text });
  expect(await thrower(client().powerOff())).toThrow();
  expect(seen).toHaveLength(1);
});
