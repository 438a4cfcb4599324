// Bytes that no HTTP client would send, on real sockets: each gets an answer in HTTP, or the end of its connection, and the next
// client does not notice.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import fc from "fast-check";
import { SERVER_BODY_LIMIT } from "../../src/routes/api.ts";
import { realClock } from "../../src/system/clock.ts";
import { type Listening, realHttpListener } from "../../src/system/http-server.ts";
import { type ApiFixture, apiFixture } from "./fixture.ts";

let api: ApiFixture;
let server: Listening;

beforeAll(async () => {
  api = await apiFixture({ clock: realClock });
  server = await realHttpListener({
    host: "127.0.0.1",
    port: 0,
    tls: null,
    maxRequestBody: SERVER_BODY_LIMIT,
    handle: api.api,
  });
});

afterAll(() => server.stop(0));

/** Sends all of it and the end of sending; resolves to what came back when the connection is over, one way or another. */
function exchange(bytes: Uint8Array | string): Promise<string> {
  return new Promise((resolve) => {
    let received = "";
    const socket = connect({ host: "127.0.0.1", port: server.port, allowHalfOpen: true }, () => {
      // An answer comes at once or not at all; the end of sending would cut it off (see http-server.test.ts).
      socket.write(bytes, () => setTimeout(() => socket.end(), 20));
    });
    socket.setEncoding("latin1");
    socket.on("data", (data) => {
      received += data;
    });
    socket.on("end", () => socket.destroy());
    socket.on("error", () => undefined); // a reset is an end too
    socket.on("close", () => resolve(received));
  });
}

async function alive(): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${server.port}/v1/status`);
  expect(answer.status).toBe(200);
}

const line = fc.string({ maxLength: 60 }).map((text) => text.replace(/[\r\n]/g, " "));
const method = fc.oneof(
  fc.constantFrom("GET", "HEAD", "POST", "PUT", "TRACE", "CONNECT", "get", "FOO"),
  line,
);
const path = fc.oneof(
  fc.constantFrom(
    "/",
    "/v1/status",
    "/v1/commands/",
    "*",
    "http://evil/v1/status",
    "//",
    "/../../etc/passwd",
  ),
  fc.webPath(),
  line.map((text) => `/v1/commands/${text}`),
);
const version = fc.oneof(fc.constantFrom("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/9.9"), line);
const header = fc.oneof(
  fc.tuple(
    fc.constantFrom(
      "Host",
      "Content-Length",
      "Transfer-Encoding",
      "Connection",
      "Expect",
      "Upgrade",
      "Last-Event-ID",
    ),
    fc.oneof(
      line,
      fc.constantFrom("chunked", "0", "-1", "99999999999999999999", "close", "100-continue", "websocket"),
    ),
  ),
  fc.tuple(line, line),
);
const request = fc
  .tuple(method, path, version, fc.array(header, { maxLength: 6 }), fc.string({ maxLength: 200 }))
  .map(
    ([verb, where, protocol, headers, body]) =>
      `${verb} ${where} ${protocol}\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body}`,
  );

describe("hostile clients", () => {
  test("that send requests with anything anywhere get answers that are no 5xx, or none", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 40, maxLength: 40 }), async (requests) => {
        for (const answer of await Promise.all(requests.map(exchange))) {
          const statuses = [...answer.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status);
          // 505 is right for what calls itself another version of HTTP.
          expect(statuses.filter((status) => status?.startsWith("5") && status !== "505")).toEqual([]);
          if (answer !== "") expect(answer).toStartWith("HTTP/1.1 ");
        }
        await alive();
      }),
      { numRuns: 15 },
    );
    expect(api.system.records.filter(({ level }) => level === "ERROR")).toEqual([]);
  }, 60_000);

  test("that send bytes which are no HTTP at all get rid of their own connection only", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 500 }), { minLength: 40, maxLength: 40 }),
        async (messages) => {
          for (const answer of await Promise.all(messages.map(exchange)))
            if (answer !== "") expect(answer).toMatch(/^HTTP\/1\.1 (4\d\d|505)/);
          await alive();
        },
      ),
      { numRuns: 10 },
    );
  }, 60_000);

  test("that send a head without end are refused before it fills the memory", async () => {
    const answer = await exchange(`GET / HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(1024 * 1024)}`);
    expect(answer).toMatch(/^(HTTP\/1\.1 431|$)/);
    await alive();
  });

  test("that ask again before they are answered get the first answers, and no wrong one", async () => {
    // The runtime has no pipelining behind handlers that take their time (Bun pull request 38128); no client of agents does that.
    const asked = ["/v1/status", "/nonexistent", "/v1/commands/", "/v1/commands/nosuch", "/"];
    const answer = await exchange(asked.map((where) => `GET ${where} HTTP/1.1\r\nHost: a\r\n\r\n`).join(""));
    const statuses = [...answer.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status ?? "");
    expect(["200", "404", "200", "404", "200"].slice(0, statuses.length)).toEqual(statuses);
    await alive();
  });
});
