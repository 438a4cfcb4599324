// Whatever is posted: an answer in the API's own form, never a 5xx, and an agent that goes on working.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { EXTENSIONS } from "../../src/extensions/extensions.ts";
import { apiFixture } from "./fixture.ts";

const names = EXTENSIONS.flatMap(({ name, commands }) =>
  [...commands.keys()].map((command) => `${name}.${command}`),
);
const name = fc.oneof(fc.constantFrom(...names), fc.string(), fc.jsonValue());
const params = fc.oneof(
  fc.record(
    {
      node: fc.oneof(fc.object({ maxDepth: 2 }), fc.jsonValue()),
      ports: fc.oneof(fc.array(fc.jsonValue()), fc.jsonValue()),
      step: fc.oneof(
        fc.record(
          { step: fc.oneof(fc.string(), fc.jsonValue()), args: fc.jsonValue() },
          { requiredKeys: [] },
        ),
        fc.jsonValue(),
      ),
      clean_version: fc.jsonValue(),
      image_info: fc.oneof(
        fc.record(
          { id: fc.jsonValue(), urls: fc.jsonValue(), checksum: fc.jsonValue() },
          { requiredKeys: [] },
        ),
        fc.jsonValue(),
      ),
      flow: fc.oneof(
        fc.array(fc.dictionary(fc.oneof(name.map(String), fc.string()), fc.jsonValue())),
        fc.jsonValue(),
      ),
      root_uuid: fc.jsonValue(),
      node_info: fc.jsonValue(),
    },
    { requiredKeys: [] },
  ),
  fc.jsonValue(),
);
const body = fc.oneof(
  fc.record({ name, params }, { requiredKeys: [] }).map((value) => JSON.stringify(value)),
  fc.json(),
  fc.string(),
  fc.uint8Array({ maxLength: 200 }),
);

describe("anything may be posted", () => {
  test("POST /v1/commands/", async () => {
    const api = await apiFixture();
    await fc.assert(
      fc.asyncProperty(body, async (bytes) => {
        const { status, headers, json, text } = await api.request("POST", "/v1/commands/?wait=true", bytes);
        expect(headers.get("content-type")).toBe("application/json");
        expect(text).toMatch(/^[ -~]+$/);
        if (status === 200) {
          expect(json).toMatchObject({ id: expect.any(String), command_name: expect.any(String) });
          expect(json.command_status).not.toBe("RUNNING");
        } else {
          expect([400, 404]).toContain(status);
          expect(json).toEqual({ faultcode: "Client", faultstring: expect.any(String) });
        }
      }),
      { numRuns: 500 },
    );
    expect((await api.get("/v1/commands/")).json.commands).toEqual(api.registry.results());
    expect((await api.post("standby.get_partition_uuids", {})).status).toBe(200);
  });

  test("any method, path and query", async () => {
    const api = await apiFixture();
    const path = fc.oneof(
      fc.webPath(),
      fc.constantFrom("/", "/v1", "/v1/", "/v1/status", "//v1//status", "/v1/commands/", "/commands"),
      fc.string().map((text) => `/v1/commands/${encodeURIComponent(text)}`),
    );
    const method = fc.constantFrom("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS");
    await fc.assert(
      fc.asyncProperty(method, path, fc.webQueryParameters(), async (verb, where, query) => {
        const { status, headers, text } = await api.request(verb, `${where}?${query}`);
        expect([200, 308, 400, 401, 404, 405]).toContain(status);
        if (status === 308) expect(headers.get("location")).toStartWith("http://agent.test:9999/");
        else expect(headers.get("content-type")).toBe("application/json");
        if (status >= 400 && verb !== "HEAD")
          expect(JSON.parse(text)).toEqual({ faultcode: "Client", faultstring: expect.any(String) });
      }),
      { numRuns: 500 },
    );
  });
});
