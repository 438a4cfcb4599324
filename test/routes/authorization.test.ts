import { describe, expect, test } from "bun:test";
import { type ApiFixture, apiFixture, fault, TOKEN } from "./fixture.ts";

const UNAUTHORIZED = { code: 401, text: "401 Unauthorized: Token invalid." };
const WRONG = "f".repeat(32);
const SYNC = "standby.get_partition_uuids";

async function statusOfPost(api: ApiFixture, query = ""): Promise<number> {
  return (await api.post(SYNC, {}, query)).status;
}

async function statusOfGet(api: ApiFixture, query = ""): Promise<number> {
  return (await api.get(`/v1/commands/${query}`)).status;
}

describe("commands of a managed agent (control-plane 11.42, 11.43, contract 10.19)", () => {
  test("need the token", async () => {
    const api = await apiFixture({ config: { standalone: false }, token: TOKEN });
    expect(fault(await api.post(SYNC, {}))).toEqual(UNAUTHORIZED);
    expect(fault(await api.post(SYNC, {}, `?agent_token=${WRONG}`))).toEqual(UNAUTHORIZED);
    expect(await statusOfPost(api, "?agent_token=")).toBe(401);
    expect(await statusOfPost(api, `?agent_token=${TOKEN.slice(0, -1)}`)).toBe(401);
    expect(await statusOfPost(api, `?agent_token=${TOKEN}${TOKEN}`)).toBe(401);
    expect(await statusOfPost(api, `?wait=true&agent_token=${TOKEN}`)).toBe(200);
  });

  test("of a repeated token the first counts", async () => {
    const api = await apiFixture({ config: { standalone: false }, token: TOKEN });
    expect(await statusOfPost(api, `?agent_token=${WRONG}&agent_token=${TOKEN}`)).toBe(401);
    expect(await statusOfPost(api, `?agent_token=${TOKEN}&agent_token=${WRONG}`)).toBe(200);
  });

  test("are all refused before there is a token, and taken once it has come", async () => {
    const api = await apiFixture({ config: { standalone: false } });
    expect(await statusOfPost(api)).toBe(401);
    expect(await statusOfPost(api, `?agent_token=${TOKEN}`)).toBe(401);
    expect(await statusOfPost(api, "?agent_token=")).toBe(401);
    api.token.accept(TOKEN);
    expect(await statusOfPost(api, `?agent_token=${TOKEN}`)).toBe(200);
  });

  test("the body is not even looked at before the token is right", async () => {
    const api = await apiFixture({ config: { standalone: false }, token: TOKEN });
    let pulled = false;
    const body = new ReadableStream(
      {
        pull(controller) {
          pulled = true;
          controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    expect(fault(await api.request("POST", "/v1/commands/", body))).toEqual(UNAUTHORIZED);
    expect(pulled).toBe(false);
  });

  test("status and documents are open", async () => {
    const api = await apiFixture({
      config: { standalone: false, command_results_token: "always" },
      token: TOKEN,
    });
    for (const path of ["/", "/v1/", "/v1/status", "/status"]) expect((await api.get(path)).status).toBe(200);
  });
});

describe("commands of a standalone agent (control-plane 11.43)", () => {
  test("without a token need none, and take none", async () => {
    const api = await apiFixture();
    expect(await statusOfPost(api)).toBe(200);
    expect(await statusOfPost(api, "?agent_token=")).toBe(401);
    expect(await statusOfPost(api, `?agent_token=${TOKEN}`)).toBe(401);
  });

  test("with a token take it, or none with a warning unless it is required", async () => {
    const api = await apiFixture({ token: TOKEN });
    expect(await statusOfPost(api, `?agent_token=${TOKEN}`)).toBe(200);
    expect(await statusOfPost(api, `?agent_token=${WRONG}`)).toBe(401);
    expect(await statusOfPost(api)).toBe(200);
    const warnings = api.system.records.filter(({ level }) => level === "WARNING");
    expect(warnings.filter(({ message }) => message.includes("without the agent token"))).toHaveLength(1);
    api.services.config.override("agent_token_required", true, "lookup answer");
    expect(await statusOfPost(api)).toBe(401);
  });
});

describe("reading results (control-plane 11.44, contract 10.20)", () => {
  const managed = { config: { standalone: false }, token: TOKEN } as const;

  test("a token that is sent is checked", async () => {
    const api = await apiFixture(managed);
    expect(await statusOfGet(api)).toBe(200);
    expect(fault(await api.get(`/v1/commands/?agent_token=${WRONG}`))).toEqual(UNAUTHORIZED);
    expect(fault(await api.get(`/v1/commands/x?agent_token=${WRONG}`))).toEqual(UNAUTHORIZED);
    expect(await statusOfGet(api, `?agent_token=${TOKEN}`)).toBe(200);
  });

  test("a wrong token never makes later reads without one fail; a right one does", async () => {
    const api = await apiFixture(managed);
    await api.get(`/v1/commands/?agent_token=${WRONG}`);
    expect(await statusOfGet(api)).toBe(200);
    await api.get(`/commands/?agent_token=${TOKEN}`);
    expect(await statusOfGet(api)).toBe(401);
    expect((await api.get("/v1/commands/some-id")).status).toBe(401);
    expect(await statusOfGet(api, `?agent_token=${TOKEN}`)).toBe(200);
  });

  test("a command with a token says nothing about reads: old conductors send it there only", async () => {
    const api = await apiFixture(managed);
    expect(await statusOfPost(api, `?agent_token=${TOKEN}`)).toBe(200);
    expect(await statusOfGet(api)).toBe(200);
  });

  test.each([
    ["auto", null, 200],
    ["auto", 82, 200],
    ["auto", 95, 200],
    ["auto", 96, 401],
    ["auto", 115, 401],
    ["never", 115, 200],
    ["always", null, 401],
    ["always", 82, 401],
  ] as const)("%s with Ironic API 1.%p: %d without a token", async (command_results_token, minor, status) => {
    const api = await apiFixture({ config: { standalone: false, command_results_token }, token: TOKEN });
    api.ironicApiMinor = minor;
    expect(await statusOfGet(api)).toBe(status);
    expect(await statusOfGet(api, `?agent_token=${TOKEN}`)).toBe(200);
    expect(await statusOfGet(api)).toBe(401);
  });

  test("a standalone agent without a token can be read", async () => {
    const api = await apiFixture({ config: { command_results_token: "always" } });
    expect(await statusOfGet(api)).toBe(200);
  });
});

describe("requests of the conductor are reported", () => {
  const config = { standalone: false, command_results_token: "always" } as const;

  test.each([
    ["GET", "/v1/commands/"],
    ["GET", "/v1/commands/some-id"],
    ["POST", "/v1/commands/"],
  ])("%s %s: with the token, and never when it is refused", async (method, path) => {
    const api = await apiFixture({ config, token: TOKEN });
    expect((await api.request(method, path)).status).toBe(401);
    expect((await api.request(method, `${path}?agent_token=${WRONG}`)).status).toBe(401);
    expect(api.conductorRequests).toBe(0);
    expect((await api.request(method, `${path}?agent_token=${TOKEN}`)).status).not.toBe(401);
    expect(api.conductorRequests).toBe(1);
  });

  test("others are not its business", async () => {
    const api = await apiFixture({ config, token: TOKEN });
    for (const path of ["/", "/v1/status", "/v1/status?x=/commands", "/v1/commands", "/v1/commands/a/b"])
      await api.get(`${path}${path.includes("?") ? "&" : "?"}agent_token=${TOKEN}`);
    expect(api.conductorRequests).toBe(0);
  });
});
