// HTTP of the Ironic client on real sockets: headers, TLS, several URLs, version discovery.

import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Config } from "../../src/config/config.ts";
import type { OptionValues } from "../../src/config/options.ts";
import { describeFailure, IronicApi } from "../../src/ironic/api-client.ts";
import { realFiles } from "../../src/system/files.ts";
import { realHttpClient } from "../../src/system/http-client.ts";
import { type Listening, realHttpListener, type TlsServerOptions } from "../../src/system/http-server.ts";
import { selfSigned } from "../support/certificate.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { rejection, thrower } from "../support/rejection.ts";

const servers: Listening[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(0);
});

async function serve(
  handle: (request: Request) => Response | Promise<Response>,
  tls: TlsServerOptions | null = null,
): Promise<string> {
  const server = await realHttpListener({ host: "127.0.0.1", port: 0, tls, maxRequestBody: 1e6, handle });
  servers.push(server);
  return `${tls === null ? "http" : "https"}://127.0.0.1:${server.port}`;
}

async function client(
  values: Partial<OptionValues>,
  environment: Record<string, string> = {},
): Promise<IronicApi> {
  const recorded = recordedSystem({ environment });
  const system = { ...recorded, http: realHttpClient, files: realFiles };
  const api = await IronicApi.create(system, Config.of(values));
  if (api === null) throw new Error("no API URL");
  return api;
}

const root = (version: string) => () => Response.json({ default_version: { id: "v1", version } });
const lookup = { method: "GET", path: "/v1/lookup?addresses=x", minor: 62 } as const;

describe("requests", () => {
  // control-plane 11.49, 11.58
  test("carry the headers Ironic wants, and a version only when asked to", async () => {
    const seen: Headers[] = [];
    const url = await serve((request) => {
      seen.push(request.headers);
      return root("1.99")();
    });
    const api = await client({ api_url: `${url}/`, global_request_id: "req-1" });
    expect(api.urls).toEqual([url]);
    await api.maximumMinor();
    await api.request(lookup);
    const get = (name: string) => seen.map((headers) => headers.get(name));
    expect(get("X-OpenStack-Ironic-API-Version")).toEqual([null, "1.62"]);
    expect(get("X-OpenStack-Request-ID")).toEqual(["req-1", "req-1"]);
    expect(get("Accept")).toEqual(["application/json", "application/json"]);
    expect(get("Content-Type")).toEqual(["application/json", "application/json"]);
  });

  test("go to the base URL's path", async () => {
    const url = await serve((request) => new Response(new URL(request.url).pathname));
    const api = await client({ api_url: `${url}/baremetal/` });
    expect((await api.request(lookup)).body).toBe("/baremetal/v1/lookup");
  });

  test("end after http_request_timeout", async () => {
    const url = await serve(() => new Promise<Response>(() => {}));
    const api = await client({ api_url: url, http_request_timeout: 1 });
    expect(await rejection(api.request(lookup))).toMatchObject({ timedOut: true });
  });

  test("go through the environment's proxy, unless the host is exempt", async () => {
    const proxy = await serve((request) => new Response(`proxied ${request.url}`));
    const url = await serve(() => new Response("direct"));
    const through = await client({ api_url: url }, { http_proxy: proxy });
    expect((await through.request(lookup)).body).toStartWith("proxied");
    const exempt = await client({ api_url: url }, { http_proxy: proxy, no_proxy: "127.0.0.0/8" });
    expect((await exempt.request(lookup)).body).toBe("direct");
  });
});

describe("several URLs", () => {
  // control-plane 11.62
  test("are tried in order, and the one that works comes first from then on", async () => {
    const url = await serve(root("1.82"));
    const dead = "http://127.0.0.1:1";
    const api = await client({ api_url: `${dead}, ${url}` });
    expect(await api.maximumMinor()).toBe(82);
    expect(api.urls).toEqual([url, dead]);
  });

  test("an answer, even a bad one, is an answer: the next URL is not tried", async () => {
    let asked = 0;
    const bad = await serve(() => new Response("no", { status: 500 }));
    const good = await serve(() => {
      asked++;
      return new Response("yes");
    });
    const api = await client({ api_url: `${bad},${good}` });
    expect((await api.request(lookup)).status).toBe(500);
    expect(asked).toBe(0);
  });

  test("that do not answer now are left out when an address to advertise is looked for, and only then", async () => {
    const url = await serve(root("1.82"));
    const dead = "http://127.0.0.1:1";
    const both = await client({ api_url: `${dead},${url}` });
    expect(await both.reachableUrls()).toEqual([url]);
    expect(both.urls).toEqual([dead, url]);
    const none = await client({ api_url: `${dead},${dead}/2` });
    expect(await none.reachableUrls()).toEqual([dead, `${dead}/2`]);
    // The only one is not asked for nothing.
    expect(await (await client({ api_url: dead })).reachableUrls()).toEqual([dead]);
  });

  test("none that works: the error names each", async () => {
    const api = await client({ api_url: "http://127.0.0.1:1,http://127.0.0.1:2" });
    const error = await api.request(lookup).catch((thrown: Error) => thrown);
    expect((error as Error).message).toContain("http://127.0.0.1:1/");
    expect((error as Error).message).toContain("http://127.0.0.1:2/");
  });
});

describe("version discovery", () => {
  // control-plane 11.50; contract 10.2
  test("remembers success only", async () => {
    const answers = [
      () => new Response("down", { status: 503 }),
      () => new Response("<html>"),
      () => Response.json({ default_version: {} }),
      () => Response.json({ default_version: { version: "2.0" } }),
      root("1.9"),
      root("1.82"),
    ];
    const url = await serve(() => answers.shift()!());
    const api = await client({ api_url: url });
    for (let i = 0; i < 4; i++) expect(await thrower(api.maximumMinor())).toThrow("asking");
    expect(api.knownMinor).toBeNull();
    expect(await api.maximumMinor()).toBe(9);
    expect(await api.maximumMinor()).toBe(9);
    api.forgetVersion();
    expect(await api.maximumMinor()).toBe(82);
  });

  test("says of an answer that is none of Ironic's what it is", async () => {
    const said = async (answer: () => Response) => {
      const api = await client({ api_url: await serve(answer) });
      return String(await rejection(api.maximumMinor()));
    };
    const page = "<!DOCTYPE html><html><h1>It works!</h1></html>";
    expect(await said(() => new Response(page))).toContain(
      'for its API version: the answer is no JSON, but begins with "It works!": is this the URL of an Ironic API?',
    );
    expect(await said(() => new Response(""))).toContain("the answer is empty: is this");
    expect(await said(() => Response.json({ versions: [] }))).toContain(
      'the answer has no version 1.N in "default_version": is this',
    );
  });

  // control-plane 2.6.2, ironic_api_version
  test("a configured version is taken as given; a malformed one is logged and Ironic asked", async () => {
    const url = await serve(root("1.82"));
    expect(
      await (await client({ api_url: "http://127.0.0.1:1", ironic_api_version: "1.68" })).maximumMinor(),
    ).toBe(68);
    expect(await (await client({ api_url: url, ironic_api_version: "latest" })).maximumMinor()).toBe(82);
  });
});

describe("redirects", () => {
  test("of GET are followed with all headers; a load balancer that leads in circles is given up", async () => {
    const seen: string[] = [];
    const url = await serve((request) => {
      const { pathname, search } = new URL(request.url);
      seen.push(`${pathname}${search} ${request.headers.get("X-OpenStack-Ironic-API-Version")}`);
      if (pathname.startsWith("/circle"))
        return new Response(null, { status: 302, headers: { Location: pathname } });
      if (!pathname.startsWith("/moved"))
        return new Response(null, { status: 301, headers: { Location: `/moved${pathname}${search}` } });
      return new Response("found");
    });
    expect(await (await client({ api_url: url })).request(lookup)).toEqual({ status: 200, body: "found" });
    expect(seen).toEqual(["/v1/lookup?addresses=x 1.62", "/moved/v1/lookup?addresses=x 1.62"]);
    const circle = await (await client({ api_url: `${url}/circle` })).request(lookup);
    expect(describeFailure(circle)).toContain("where the agent does not follow: correct api_url");
    expect(seen.length).toBe(8);
  });

  test("of POST are followed only where they leave it a POST", async () => {
    let status = 307;
    const bodies: string[] = [];
    const url = await serve(async (request) => {
      if (new URL(request.url).pathname === "/there") {
        bodies.push(`${request.method} ${await request.text()}`);
        return new Response(null, { status: 202 });
      }
      return new Response(null, { status, headers: { Location: "/there" } });
    });
    const api = await client({ api_url: url });
    const beat = { method: "POST", path: "/v1/heartbeat/x", minor: 68, json: { callback_url: "u" } } as const;
    expect((await api.request(beat)).status).toBe(202);
    status = 302;
    expect((await api.request(beat)).status).toBe(302);
    expect(bodies).toEqual(['POST {"callback_url":"u"}']);
  });
});

describe("TLS", () => {
  // control-plane 11.61; with nginx in client-tls.test.ts
  test("insecure, a private CA, a client certificate, and the version floor", async () => {
    await using server = await selfSigned("127.0.0.1");
    await using person = await selfSigned("127.0.0.2");
    const tls = { cert: server.cert, key: server.key };
    const url = await serve(() => new Response("ok"), tls);
    const ok = async (values: Partial<OptionValues>) =>
      (await (await client({ api_url: url, ...values })).request(lookup)).body;
    expect(await thrower(ok({}))).toThrow();
    expect(await ok({ insecure: true })).toBe("ok");
    expect(await ok({ cafile: server.certFile })).toBe("ok");

    const strict = await serve(() => new Response("ok"), { ...tls, clientCa: person.cert });
    const known = { api_url: strict, cafile: server.certFile };
    expect(await thrower((await client(known)).request(lookup))).toThrow();
    const shown = await client({ ...known, certfile: person.certFile, keyfile: person.keyFile });
    expect((await shown.request(lookup)).body).toBe("ok");

    const old = await serve(() => new Response("ok"), { ...tls, maxVersion: "1.2" });
    expect(await ok({ api_url: old, insecure: true })).toBe("ok");
    expect(await thrower(ok({ api_url: old, insecure: true, tls_min_version: "1.3" }))).toThrow();
  });

  test("a CA file that cannot be read is a configuration error with its name", async () => {
    expect(await rejection(client({ api_url: "https://127.0.0.1:1", cafile: "/missing.pem" }))).toMatchObject(
      {
        exitCode: 1,
        message: expect.stringContaining("cafile"),
      },
    );
  });
});

describe("what a refusal says", () => {
  const explained = (body: string, status = 409) => describeFailure({ status, body });

  // contract 10.14
  test("is found in an object, in JSON inside a string, and in anything else", () => {
    const inner = { faultcode: "Client", faultstring: "Node n is locked", debuginfo: null };
    expect(explained(JSON.stringify({ error_message: inner }))).toBe("Error 409: Node n is locked");
    expect(explained(JSON.stringify({ error_message: JSON.stringify(inner) }))).toBe(
      "Error 409: Node n is locked",
    );
    expect(explained(JSON.stringify({ error_message: "plain" }))).toBe("Error 409: plain");
    const title = { error_message: { code: 406, title: "Not Acceptable", description: "Version 1.99 …" } };
    expect(explained(JSON.stringify(title), 406)).toBe("Error 406: Not Acceptable: Version 1.99 …");
    expect(explained("<html>bad gateway</html>", 502)).toBe("Error 502: bad gateway");
    expect(explained("", 500)).toBe("Error 500: no explanation");
    expect(explained("x".repeat(100_000)).length).toBeLessThan(600);
  });

  test("is short and says the status, whatever is in the body", () => {
    const bodies = fc.oneof(
      fc.string({ maxLength: 2000 }),
      fc.json(),
      fc.jsonValue().map((value) => JSON.stringify({ error_message: value })),
      fc.jsonValue().map((value) => JSON.stringify({ error_message: JSON.stringify(value) })),
      fc.string().map((text) => `<html>${text}`),
    );
    fc.assert(
      fc.property(bodies, (body) => {
        const text = explained(body, 418);
        expect(text).toStartWith("Error 418: ");
        expect(text.length).toBeLessThan(520);
      }),
    );
  });
});
