import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { maskQuery } from "../../src/routes/request-log.ts";
import { apiFixture, HOST, TOKEN } from "./fixture.ts";

describe("the request log", () => {
  test("has one line for a request: who, what, how it ended, how long it took (control-plane 10)", async () => {
    const { api, system } = await apiFixture();
    await api(new Request(`${HOST}/v1/status?wait=true`), "10.0.0.7");
    await api(new Request(`${HOST}/nowhere`), null);
    const proxied = (headers: Record<string, string>) =>
      api(new Request(`${HOST}/v1`, { headers }), "10.0.0.1");
    await proxied({ "X-Forwarded-For": "192.0.2.9, 10.0.0.2", "X-Real-IP": "192.0.2.8" });
    await proxied({ "X-Real-IP": "2001:db8::8" });
    await proxied({ "X-Forwarded-For": "root logged in from the moon" });
    const lines = system.records
      .filter(({ logger }) => logger === "ironic_python_agent.api")
      .map(({ level, message }) => `${level} ${message.replace(/\d+\.\d\dms\)$/, "N.NNms)")}`);
    expect(lines).toEqual([
      "INFO 10.0.0.7 - GET /v1/status?wait=true - 200 (N.NNms)",
      "INFO - - GET /nowhere - 404 (N.NNms)",
      "INFO 192.0.2.9 - GET /v1 - 308 (N.NNms)",
      "INFO 2001:db8::8 - GET /v1 - 308 (N.NNms)",
      "INFO 10.0.0.1 - GET /v1 - 308 (N.NNms)",
    ]);
  });

  test("never shows a token, however it is written", async () => {
    const { get, post, system } = await apiFixture({ token: TOKEN });
    for (const query of [
      `?agent_token=${TOKEN}`,
      `?wait=true&agent_token=${TOKEN}`,
      `?agent%5Ftoken=${TOKEN}`,
      `?AGENT_TOKEN=${TOKEN}`,
      `?x?agent_token=${TOKEN}`,
    ]) {
      await post("standby.get_partition_uuids", {}, query);
      await get(`/v1/commands${query}`);
      await get(`//v1/commands/${query}`);
    }
    expect(system.records.length).toBeGreaterThan(14);
    expect(system.records.map(({ message }) => message).join("\n")).not.toContain(TOKEN);
  });

  test("of a query only the names and harmless values are kept", () => {
    expect(maskQuery("GET /a?wait=true&b=1&c&=d 200 1ms")).toBe(
      "GET /a?wait=true&b=******&******&=****** 200 1ms",
    );
    fc.assert(
      fc.property(fc.string().map(encodeURI), (query) => {
        const masked = maskQuery(`GET /?secret=${query}SECRET`);
        expect(masked).not.toContain("SECRET");
      }),
    );
  });
});
