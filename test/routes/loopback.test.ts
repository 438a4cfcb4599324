// What only a real connection shows: framing of bodies, clients that are slow or leave, HTTP/1.0. Written
// byte by byte, because HTTP clients do not let one send such requests.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { SERVER_BODY_LIMIT } from "../../src/routes/api.ts";
import { type Listening, realHttpListener } from "../../src/system/http-server.ts";
import { type ApiFixture, apiFixture } from "./fixture.ts";

const BODY = '{"name": "standby.get_partition_uuids", "params": {}}';
const POST = "POST /v1/commands/?wait=true HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n";

let api: ApiFixture;
let server: Listening;

beforeAll(async () => {
  api = await apiFixture();
  server = await realHttpListener({
    host: "127.0.0.1",
    port: 0,
    tls: null,
    maxRequestBody: SERVER_BODY_LIMIT,
    handle: api.api,
  });
});

afterAll(() => server.stop(1));

describe("bodies", () => {
  test("in chunks that cut through names", async () => {
    const connection = await open();
    connection.send(`${POST}Transfer-Encoding: chunked\r\n\r\n`);
    for (const chunk of [BODY.slice(0, 5), BODY.slice(5, 6), BODY.slice(6)])
      connection.send(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
    connection.send("0\r\n\r\n");
    const { status, json } = await connection.answer();
    expect(status).toBe(200);
    expect(json).toMatchObject({ command_name: "get_partition_uuids", command_status: "SUCCEEDED" });
  });

  test("that come slowly delay nobody else", async () => {
    const slow = await open();
    slow.send(`${POST}Content-Length: ${BODY.length}\r\n\r\n${BODY.slice(0, 20)}`);
    const quick = await open();
    quick.send(`${POST}Content-Length: ${BODY.length}\r\n\r\n${BODY}`);
    expect((await quick.answer()).status).toBe(200);
    slow.send(BODY.slice(20));
    expect((await slow.answer()).status).toBe(200);
  });

  test("that never end because the client leaves do no harm", async () => {
    const left = await open();
    left.send(`${POST}Content-Length: 1000\r\n\r\n{"name":`);
    left.close();
    const next = await open();
    next.send(`${POST}Content-Length: ${BODY.length}\r\n\r\n${BODY}`);
    expect((await next.answer()).status).toBe(200);
  });

  test("larger than the runtime's own limit of 128 MiB are taken", async () => {
    const configdrive = "A".repeat(140 * 1024 * 1024);
    const response = await fetch(`http://127.0.0.1:${server.port}/v1/commands/`, {
      method: "POST",
      body: JSON.stringify({ name: "test.echo_sync", params: { value: 1, configdrive } }),
    });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ command_status: "SUCCEEDED", command_result: 1 });
  }, 30_000);

  test.each([1, 3, 1024])("declared as %d GiB are refused at once, in the API's form", async (size) => {
    const connection = await open();
    connection.send(`${POST}Content-Length: ${size * 2 ** 30}\r\n\r\n`);
    const { status, json } = await connection.answer();
    expect(status).toBe(413);
    expect(json).toMatchObject({ faultcode: "Client" });
  });

  test("with chunks that are none are refused", async () => {
    const connection = await open();
    connection.send(`${POST}Transfer-Encoding: chunked\r\n\r\nnonsense\r\n`);
    expect((await connection.answer()).status).toBe(400);
  });
});

describe("heads", () => {
  test("HTTP/1.0 without a Host", async () => {
    const connection = await open();
    connection.send("GET /v1/status HTTP/1.0\r\n\r\n");
    expect((await connection.answer()).json).toEqual({ started_at: 1795329776.97, version: "6.4.4" });
  });

  test("a Host that no URL can hold", async () => {
    const connection = await open();
    connection.send('GET / HTTP/1.1\r\nHost: a b"\r\nConnection: close\r\n\r\n');
    const { status, json } = await connection.answer();
    expect(status).toBe(200);
    expect(json).toMatchObject({ default_version: { links: [{ href: 'http://a b"/v1' }, {}] } });
  });

  test("repeated slashes reach the router as they were sent", async () => {
    const connection = await open();
    connection.send("GET //v1//status?x=1 HTTP/1.1\r\nHost: agent:9999\r\nConnection: close\r\n\r\n");
    const { status, head } = await connection.answer();
    expect(status).toBe(308);
    expect(head).toContain("Location: http://agent:9999/v1/status?x=1\r\n");
  });

  test("HEAD tells the length and sends nothing", async () => {
    const connection = await open();
    connection.send("HEAD /v1/status HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n");
    const { status, head, text } = await connection.answer();
    expect(status).toBe(200);
    expect(head.toLowerCase()).toContain("content-length: 49");
    expect(text).toBe("");
  });
});

type Connection = {
  send(text: string): void;
  /** Everything until the server closes. */
  answer(): Promise<{ status: number; head: string; text: string; json: unknown }>;
  close(): void;
};

function open(): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ host: "127.0.0.1", port: server.port }, () => resolve(connection));
    const received: string[] = [];
    const ended = new Promise<void>((done) => socket.on("close", () => done()));
    socket.on("data", (data) => received.push(String(data)));
    socket.on("error", reject);
    const connection: Connection = {
      send: (text) => socket.write(text),
      close: () => socket.destroy(),
      async answer() {
        await ended;
        const all = received.join("");
        const [head = "", text = ""] = all.split("\r\n\r\n");
        const json: unknown = text.startsWith("{") ? JSON.parse(text) : undefined;
        return { status: Number(head.split(" ")[1]), head: `${head}\r\n`, text, json };
      },
    };
  });
}
