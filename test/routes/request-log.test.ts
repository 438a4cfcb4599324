import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { maskQuery } from "../../src/routes/request-log.ts";
import { apiFixture, HOST, TOKEN } from "./fixture.ts";

describe("the request log", () => {
  test("has who, what and how it ended, without colours", async () => {
    const { api, system } = await apiFixture();
    await api(new Request(`${HOST}/v1/status?wait=true`), "10.0.0.7");
    await api(new Request(`${HOST}/nowhere`), null);
    const lines = system.records
      .filter(({ logger }) => logger.endsWith(".api"))
      .map(({ level, message }) => `${level} ${message.replace(/\d+ms$/, "Nms")}`);
    expect(lines).toEqual([
      "DEBUG 10.0.0.7 <-- GET /v1/status?wait=true",
      "INFO 10.0.0.7 --> GET /v1/status?wait=true 200 Nms",
      "DEBUG - <-- GET /nowhere",
      "INFO - --> GET /nowhere 404 Nms",
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
    expect(system.records.length).toBeGreaterThan(30);
    expect(system.records.map(({ message }) => message).join("\n")).not.toContain(TOKEN);
  });

  test("of a query only the names and harmless values are kept", () => {
    expect(maskQuery("GET /a?wait=true&b=1&c&=d 200 1ms")).toBe(
      "GET /a?wait=true&b=******&******&=****** 200 1ms",
    );
    fc.assert(
      fc.property(fc.webQueryParameters(), (query) => {
        const masked = maskQuery(`GET /?secret=${query}SECRET`);
        expect(masked).not.toContain("SECRET");
      }),
    );
  });
});
