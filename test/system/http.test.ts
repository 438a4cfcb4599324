import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { HttpError, realHttpClient } from "../../src/system/http-client.ts";
import { realHttpListener } from "../../src/system/http-server.ts";
import { selfSigned, type TestCertificate } from "../support/certificate.ts";
import { rejection, thrower } from "../support/rejection.ts";

let certificate: TestCertificate;
beforeAll(async () => {
  certificate = await selfSigned("127.0.0.1");
});
afterAll(() => certificate[Symbol.asyncDispose]());

const local = { host: "127.0.0.1", port: 0, tls: null, maxRequestBody: 1024 * 1024 };

describe("the client", () => {
  test("hands over status, headers and body undecoded, and does not follow redirects", async () => {
    const zipped = gzipSync("hello");
    const server = await realHttpListener({
      ...local,
      handle: (request) =>
        new URL(request.url).pathname === "/r"
          ? Response.redirect("/elsewhere", 302)
          : new Response(zipped, { headers: { "content-encoding": "gzip" } }),
    });
    const base = `http://127.0.0.1:${server.port}`;
    const answer = await realHttpClient({ method: "GET", url: `${base}/`, timeout: 5 });
    expect(answer.headers.get("content-encoding")).toBe("gzip");
    expect(Buffer.from(await new Response(answer.body).arrayBuffer())).toEqual(Buffer.from(zipped));
    const redirect = await realHttpClient({ method: "GET", url: `${base}/r`, timeout: 5 });
    expect(redirect.status).toBe(302);
    expect(redirect.headers.get("location")).toBe("/elsewhere");
    await redirect.body.cancel();
    await server.stop(1);
  });

  test("a refused connection is an HttpError with the network's word for it", async () => {
    const work = realHttpClient({ method: "GET", url: "http://user:pw@127.0.0.1:1/x", timeout: 5 });
    const error = await work.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(HttpError);
    expect((error as HttpError).code).toBe("ECONNREFUSED");
    expect((error as HttpError).timedOut).toBe(false);
    const { message } = error as HttpError;
    expect(message).not.toContain("pw");
    expect(message).toEndWith("ECONNREFUSED: nobody listens there, or a firewall refuses the connection");
  });

  test("a silent server ends in a time-out that says so", async () => {
    const server = await realHttpListener({ ...local, handle: () => new Promise<Response>(() => {}) });
    const error = await realHttpClient({
      method: "GET",
      url: `http://127.0.0.1:${server.port}/`,
      timeout: 0.2,
    }).catch((thrown: unknown) => thrown);
    expect((error as HttpError).timedOut).toBe(true);
    await server.stop(0);
  });

  test("an answer longer than the limit is refused while it comes", async () => {
    const server = await realHttpListener({ ...local, handle: () => new Response("x".repeat(5000)) });
    const answer = await realHttpClient({
      method: "GET",
      url: `http://127.0.0.1:${server.port}/`,
      timeout: 5,
    });
    expect(await thrower(answer.text(4999))).toThrow("longer than 4999 bytes");
    await server.stop(0);
  });

  test("the caller's signal aborts a request under way", async () => {
    const server = await realHttpListener({ ...local, handle: () => new Promise<Response>(() => {}) });
    const abort = new AbortController();
    const work = realHttpClient({
      method: "GET",
      url: `http://127.0.0.1:${server.port}/`,
      timeout: 60,
      signal: abort.signal,
    });
    abort.abort();
    expect(await thrower(work)).toThrow();
    await work.catch(() => {}); // the rejection is asserted above
    await server.stop(0);
  });

  test("an answer that the server is silent about for long still comes: no idle time-out", async () => {
    // The runtime looks for idle connections every 4 s, so the shortest time-out strikes by then.
    const handle = async () => {
      await Bun.sleep(5000);
      return new Response("done");
    };
    const server = await realHttpListener({ ...local, handle });
    const url = `http://127.0.0.1:${server.port}/`;
    const answer = await realHttpClient({ method: "GET", url, timeout: 30 });
    expect(await answer.text()).toBe("done");
    await server.stop(0);
  }, 30_000);

  test("a reader that stops reading stops the sender: memory does not grow with the body", async () => {
    const chunk = new Uint8Array(1024 * 1024);
    let sent = 0;
    const server = await realHttpListener({
      ...local,
      handle: () =>
        new Response(
          new ReadableStream({
            pull(controller) {
              sent++;
              if (sent <= 512) controller.enqueue(chunk);
              else controller.close();
            },
          }),
        ),
    });
    const answer = await realHttpClient({
      method: "GET",
      url: `http://127.0.0.1:${server.port}/`,
      timeout: 5,
    });
    const reader = answer.body.getReader();
    await reader.read();
    await Bun.sleep(500);
    // Sockets and the runtime buffer some mebibytes; without back-pressure all 512 would have been pulled.
    expect(sent).toBeLessThan(128);
    await reader.cancel();
    await server.stop(0);
  });
});

describe("TLS", () => {
  const serve = () =>
    realHttpListener({
      ...local,
      tls: certificate,
      handle: (_request, peer) => new Response(`hello ${peer}`),
    });
  const tls = { verify: true, ca: null, certificate: null };

  test("the pinned certificate verifies by its IP address, an unknown one does not, insecure skips it", async () => {
    const server = await serve();
    const url = `https://127.0.0.1:${server.port}/`;
    const get = (options: typeof tls | { verify: boolean; ca: string | null; certificate: null }) =>
      realHttpClient({ method: "GET", url, timeout: 5, tls: options });
    expect(await (await get({ ...tls, ca: certificate.cert })).text()).toBe("hello 127.0.0.1");
    expect(await (await get({ ...tls, verify: false })).text()).toBe("hello 127.0.0.1");
    expect(await rejection(get(tls))).toBeInstanceOf(HttpError);
    await server.stop(1);
  });

  test("TLS 1.2 and 1.3 are spoken, 1.1 is refused", async () => {
    const server = await serve();
    const handshake = async (flag: string) => {
      const child = Bun.spawn(
        ["openssl", "s_client", "-connect", `127.0.0.1:${server.port}`, flag, "-cipher", "ALL:@SECLEVEL=0"],
        { stdin: "ignore", stdout: "pipe", stderr: "ignore" },
      );
      const output = await new Response(child.stdout).text();
      return /Cipher is (?!\(NONE\))/.test(output);
    };
    expect(await handshake("-tls1_2")).toBe(true);
    expect(await handshake("-tls1_3")).toBe(true);
    expect(await handshake("-tls1_1")).toBe(false);
    await server.stop(0);
  });
});

describe("the listener", () => {
  test("a taken port is an error that names it", async () => {
    const server = await realHttpListener({ ...local, handle: () => new Response() });
    expect(
      await thrower(realHttpListener({ ...local, port: server.port, handle: () => new Response() })),
    ).toThrow(`cannot listen on 127.0.0.1 port ${server.port}`);
    await server.stop(0);
  });

  test.each(["999.1.1.1", "nowhere.invalid", "a b"])(
    "the host name %s, which has no address, is to blame",
    async (host) => {
      expect(await thrower(realHttpListener({ ...local, host, handle: () => new Response() }))).toThrow(
        `cannot listen on ${host} port 0: cannot resolve the host name ${host}: `,
      );
    },
  );

  test("an address of another machine is said to be one", async () => {
    expect(
      await thrower(realHttpListener({ ...local, host: "203.0.113.77", handle: () => new Response() })),
    ).toThrow("EADDRNOTAVAIL");
  });

  test("stop lets the answer under way out, and then the port is closed", async () => {
    let finish = () => {};
    const server = await realHttpListener({
      ...local,
      handle: () =>
        new Promise<Response>((resolve) => {
          finish = () => resolve(new Response("done"));
        }),
    });
    const url = `http://127.0.0.1:${server.port}/`;
    const waiting = realHttpClient({ method: "GET", url, timeout: 5 });
    await Bun.sleep(50);
    const stopped = server.stop(5);
    finish();
    expect(await (await waiting).text()).toBe("done");
    await stopped;
    expect(await thrower(realHttpClient({ method: "GET", url, timeout: 5 }))).toThrow("ECONNREFUSED");
  });
});
