import { describe, expect, test } from "bun:test";
import { apiFixture, HOST } from "./fixture.ts";

const NOT_FOUND =
  "404 Not Found: The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.";

describe("documents (control-plane 11.21)", () => {
  test("GET /, byte for byte", async () => {
    const { get } = await apiFixture();
    const { status, headers, text } = await get("/");
    const version =
      '{"id": "v1", "links": [{"href": "http://agent.test:9999/v1", "rel": "self"}, ' +
      '{"href": "https://docs.openstack.org/ironic-python-agent/", "rel": "describedby", "type": "text/html"}]}';
    expect(status).toBe(200);
    expect(headers.get("content-type")).toBe("application/json");
    expect(headers.get("content-length")).toBe(String(text.length));
    expect(text).toBe(
      '{"name": "OpenStack Ironic Python Agent API", ' +
        '"description": "Ironic Python Agent is a provisioning agent for OpenStack Ironic", ' +
        `"versions": [${version}], "default_version": ${version}}`,
    );
  });

  test("GET /v1/", async () => {
    const { get } = await apiFixture();
    expect((await get("/v1/")).json).toEqual({
      commands: [
        { href: `${HOST}/v1/commands`, rel: "self" },
        { href: `${HOST}/commands`, rel: "bookmark" },
      ],
      status: [
        { href: `${HOST}/v1/status`, rel: "self" },
        { href: `${HOST}/status`, rel: "bookmark" },
      ],
      media_types: [
        { base: "application/json", type: "application/vnd.openstack.ironic-python-agent.v1+json" },
      ],
      id: "v1",
      links: [
        { href: `${HOST}/v1`, rel: "self" },
        {
          href: "https://docs.openstack.org/ironic-python-agent/",
          rel: "describedby",
          type: "text/html",
        },
      ],
    });
  });

  test("links follow scheme and Host header, and nothing a proxy says", async () => {
    const { api } = await apiFixture();
    const headers = {
      Host: "[fe80::1]:9999",
      "X-Forwarded-Host": "evil.example",
      "X-Forwarded-Proto": "gopher",
    };
    const response = await api(new Request("https://10.0.0.1:9999/", { headers }), null);
    expect(await response.text()).toContain('{"href": "https://[fe80::1]:9999/v1", "rel": "self"}');
  });

  test.each(["/v1/status", "/status"])("GET %s", async (path) => {
    const { get } = await apiFixture();
    expect((await get(path)).text).toBe('{"started_at": 1795329776.97, "version": "6.4.4"}');
  });

  test.each(["/v1/commands/", "/commands/"])("GET %s is empty at start", async (path) => {
    const { get } = await apiFixture();
    expect((await get(path)).text).toBe('{"commands": []}');
  });

  test.each(["http://a", "http://a:1", "https://a", "https://ab", "http://abcd", "https://[::1]"])(
    "%s is routed and linked like any other",
    async (host) => {
      const { api } = await apiFixture();
      const answers = ["/v1/status", "/v1/status/"].map((path) => api(new Request(`${host}${path}`), null));
      expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 404]);
      const root = await api(new Request(`${host}/`, { headers: { Host: host.replace(/.*\//, "") } }), null);
      expect(await root.text()).toContain(`{"href": "${host}/v1", "rel": "self"}`);
    },
  );
});

describe("HEAD (control-plane 11.23)", () => {
  test.each(["/", "/v1/", "/v1/status", "/v1/commands/"])("%s is GET without the body", async (path) => {
    const { get, request } = await apiFixture();
    const expected = await get(path);
    const { status, headers, text } = await request("HEAD", path);
    expect(status).toBe(200);
    expect(text).toBe("");
    expect(headers.get("content-length")).toBe(expected.headers.get("content-length"));
  });
});

describe("redirects (control-plane 11.22, contract 10.18)", () => {
  test.each([
    ["GET", "/v1", "/v1/"],
    ["GET", "/v1/commands", "/v1/commands/"],
    ["POST", "/v1/commands", "/v1/commands/"],
    ["GET", "/commands", "/commands/"],
    ["POST", "/commands?wait=true&agent_token=x", "/commands/?wait=true&agent_token=x"],
    ["GET", "//v1//status", "/v1/status"],
    ["POST", "/v1///commands/?wait=false", "/v1/commands/?wait=false"],
  ])("%s %s to %s", async (method, path, location) => {
    const { request } = await apiFixture();
    const { status, headers, text } = await request(method, path, method === "POST" ? "{}" : undefined);
    expect(status).toBe(308);
    expect(headers.get("location")).toBe(`${HOST}${location}`);
    expect(headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(text).toContain(`<a href="${HOST}${location.replaceAll("&", "&amp;")}">`);
  });

  test("the page holds nothing that a browser would run", async () => {
    const { api } = await apiFixture();
    const headers = { Host: `"><script>alert(1)</script>` };
    const response = await api(new Request(`${HOST}/v1?x='"><script>`, { headers }), null);
    expect(await response.text()).not.toContain("<script>");
  });
});

describe("refusals (control-plane 11.23 to 11.25)", () => {
  test.each([
    "/v1/status/",
    "/v1/commands/5f1ae6cc-0d76-4d6c-b2d4-6a9b5c3f0001/",
    "/v2/",
    "/V1/status",
    "/nonexistent",
    "/v1/commands/a/b",
    "/%zz",
  ])("GET %s: 404", async (path) => {
    const { get } = await apiFixture();
    const { status, headers, text } = await get(path);
    expect(status).toBe(404);
    expect(headers.get("content-type")).toBe("application/json");
    expect(text).toBe(`{"faultcode": "Client", "faultstring": "${NOT_FOUND}"}`);
  });

  test.each([
    ["a%2Fb", "a/b"],
    ["%zz", "%zz"],
    ["%ff", "%ff"],
    ["x", "x"],
  ])("GET /v1/commands/%s: 404 that names %s", async (sent, id) => {
    const { get } = await apiFixture();
    for (const place of [
      `/v1/commands/${sent}`,
      `/commands/${sent}?wait=true`,
      `/v1/commands/${sent}/events`,
    ]) {
      const { status, json } = await get(place);
      expect(status).toBe(404);
      expect(json).toEqual({
        faultcode: "Client",
        faultstring: `Not found: Command Result with id ${id} not found.`,
      });
    }
  });

  test.each([
    ["POST", "/", "GET, HEAD"],
    ["POST", "/v1/", "GET, HEAD"],
    ["POST", "/v1/status", "GET, HEAD"],
    ["OPTIONS", "/status", "GET, HEAD"],
    ["PUT", "/v1/commands/", "GET, POST, HEAD"],
    ["DELETE", "/commands/", "GET, POST, HEAD"],
    ["OPTIONS", "/v1/commands/", "GET, POST, HEAD"],
    ["PATCH", "/v1/commands", "GET, POST, HEAD"],
    ["POST", "/v1/commands/abc", "GET, HEAD"],
  ])("%s %s: 405, Allow: %s, whatever the body", async (method, path, allow) => {
    const { request } = await apiFixture();
    const body = new Blob(["{bad"], { type: "application/json" });
    const { status, headers, json } = await request(method, path, body);
    expect(status).toBe(405);
    expect(headers.get("allow")).toBe(allow);
    expect(headers.get("content-type")).toBe("application/json");
    expect(json).toEqual({
      faultcode: "Client",
      faultstring: "405 Method Not Allowed: The method is not allowed for the requested URL.",
    });
  });
});
