// Connections that misbehave, and the replacement of a certificate while others are being served: real sockets, real TLS.

import { afterEach, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { type Listening, type ListenOptions, realHttpListener } from "../../src/system/http-server.ts";
import { selfSigned, type TestCertificate } from "../support/certificate.ts";
import { thrower } from "../support/rejection.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function listen(options: Partial<ListenOptions>): Promise<Listening> {
  const defaults = { host: "127.0.0.1", port: 0, tls: null, maxRequestBody: 1e6 };
  const server = await realHttpListener({ ...defaults, handle: () => new Response("ok"), ...options });
  cleanups.push(() => server.stop(0));
  return server;
}

async function certificates<N extends number>(count: N): Promise<TestCertificate[]> {
  const made = await Promise.all(Array.from({ length: count }, () => selfSigned("127.0.0.1")));
  cleanups.push(() => Promise.all(made.map((certificate) => certificate[Symbol.asyncDispose]())));
  return made;
}

/** What comes back until the server closes. */
function exchange(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port }, () => void socket.write(text));
    let received = "";
    socket.on("data", (data) => {
      received += data;
    });
    socket.on("close", () => resolve(received));
    socket.on("error", reject);
  });
}

test("silence is borne while an answer is being worked on, and at no other time", async () => {
  // One test and all at once: the runtime's shortest time limit takes a while to strike.
  const server = await listen({
    idleTimeout: 4,
    async handle(request, _peer, unhurried) {
      try {
        await request.bytes();
      } catch {
        return new Response("nobody is there to read this");
      }
      unhurried();
      if (request.url.endsWith("/long")) await Bun.sleep(9000);
      return new Response("done");
    },
  });
  const post = "POST /long HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\n";
  const [silent, half, kept, stalled, posted, asked] = await Promise.all([
    exchange(server.port, ""),
    exchange(server.port, "GET / HTTP/1.1\r\nHo"),
    exchange(server.port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    exchange(server.port, `${post}ab`),
    exchange(server.port, `${post}abcd`),
    exchange(server.port, "GET /long HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
  ]);
  expect([silent, half, stalled]).toEqual(["", "", ""]);
  expect(kept).toEndWith("done");
  expect(posted).toEndWith("done");
  expect(asked).toEndWith("done");
}, 60_000);

// control-plane 3.1
test.each(["GET", "HEAD"])("an answer to %s has its date, once", async (method) => {
  const server = await listen({});
  const answer = await exchange(server.port, `${method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  const dates = [...answer.matchAll(/^date: (.*)\r$/gim)].map(([, date]) => date ?? "");
  expect(dates).toHaveLength(1);
  expect(new Date(dates[0] ?? "").toUTCString()).toBe(dates[0] ?? "");
});

test("a connection half closed by its client harms nobody", async () => {
  const server = await listen({ handle: () => Bun.sleep(50).then(() => new Response("answer")) });
  await new Promise<void>((resolve) => {
    // The runtime takes the end of sending for the end of the connection: there may be no answer, but there is an end.
    const socket = connect({ host: "127.0.0.1", port: server.port, allowHalfOpen: true }, () =>
      socket.end("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    );
    socket.on("close", () => resolve());
    socket.on("data", () => undefined);
    socket.on("end", () => socket.destroy());
    socket.on("error", () => undefined); // a reset ends it too
  });
  expect(await (await fetch(`http://127.0.0.1:${server.port}/`)).text()).toBe("answer");
});

describe("replacing the certificate", () => {
  test("loses no request: new connections, kept ones, and one that is being answered", async () => {
    const [first, ...others] = await certificates(4);
    let replaced = 0;
    const slow = Promise.withResolvers<Response>();
    const server = await listen({
      tls: first!,
      replaceable: true,
      handle: (request) => (request.url.endsWith("/slow") ? slow.promise : new Response(String(replaced))),
    });
    const url = `https://127.0.0.1:${server.port}`;
    const tls = { rejectUnauthorized: false };
    const waiting = fetch(`${url}/slow`, { tls }).then((answer) => answer.text());

    let [requests, over] = [0, false];
    const failures: unknown[] = [];
    const client = async (headers: Record<string, string>) => {
      while (!over) {
        try {
          const answer = await fetch(url, { headers, tls });
          await answer.text();
          requests++;
        } catch (error) {
          failures.push(error);
        }
      }
    };
    const clients = [1, 2, 3, 4].map(() => client({ Connection: "close" }));
    clients.push(client({}), client({}));
    const done = async (more: number) => {
      const goal = requests + more;
      while (requests < goal) await Bun.sleep(5);
    };
    await done(50);
    for (const next of others) {
      server.replaceTls(next, 0.3);
      replaced++;
      await Bun.sleep(600);
      await done(50);
    }
    over = true;
    await Promise.all(clients);
    expect(failures).toEqual([]);
    slow.resolve(new Response("still the first connection"));
    expect(await waiting).toBe("still the first connection");
  }, 30_000);

  test("is seen by the very next connection, and old ones are asked to come again", async () => {
    const [old, renewed] = await certificates(2);
    const server = await listen({ tls: old!, replaceable: true });
    const serial = () =>
      new Promise<string>((resolve, reject) => {
        const options = { host: "127.0.0.1", port: server.port, rejectUnauthorized: false };
        const socket = connectTls(options, () => {
          resolve(socket.getPeerCertificate().serialNumber);
          socket.destroy();
        });
        socket.on("error", reject);
      });
    const kept = await keepAlive(server.port);
    expect(await kept("/")).not.toMatch(/connection: close/i);
    server.replaceTls(renewed!, 30);
    const expected = new X509Certificate(renewed!.cert).serialNumber;
    for (let i = 0; i < 20; i++) expect(await serial()).toBe(expected);
    expect(await kept("/")).toMatch(/connection: close/i);
  });

  test("twice in a row keeps the latest", async () => {
    const [a, b, c] = await certificates(3);
    const server = await listen({ tls: a!, replaceable: true });
    server.replaceTls(b!, 30);
    server.replaceTls(c!, 30);
    for (let i = 0; i < 20; i++) {
      const answer = await fetch(`https://127.0.0.1:${server.port}/`, {
        tls: { ca: c!.cert },
        headers: { Connection: "close" },
      });
      expect(await answer.text()).toBe("ok");
    }
  });

  test("must be announced", async () => {
    const [a, b] = await certificates(2);
    const server = await listen({ tls: a! });
    expect(() => server.replaceTls(b!, 1)).toThrow("not opened to be replaced");
  });
});

test("a replaceable listener too has its port for itself (DEV-15)", async () => {
  const [certificate] = await certificates(1);
  const server = await listen({ tls: certificate!, replaceable: true });
  for (const replaceable of [true, false])
    expect(await thrower(listen({ port: server.port, tls: certificate!, replaceable }))).toThrow(
      `cannot listen on 127.0.0.1 port ${server.port}`,
    );
});

/** A TLS connection that is kept; sends a request on it and resolves to the answer's head. */
async function keepAlive(port: number): Promise<(path: string) => Promise<string>> {
  const socket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false });
  await new Promise((resolve) => socket.once("secureConnect", resolve));
  return (path) =>
    new Promise((resolve) => {
      socket.once("data", (data) => resolve(String(data).split("\r\n\r\n")[0] ?? ""));
      socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    });
}
