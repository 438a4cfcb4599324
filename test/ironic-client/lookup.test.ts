import { describe, expect, test } from "bun:test";
import { Config } from "../../src/config/config.ts";
import { LookupNodeError } from "../../src/errors.ts";
import { IronicApi } from "../../src/ironic/api-client.ts";
import { lookUpNode } from "../../src/ironic/lookup.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { thrower } from "../support/rejection.ts";
import { type Answer, fakeIronic, fault } from "./fake-ironic.ts";

const UUID = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123";
const FOUND = { status: 200, body: { node: { uuid: UUID }, config: { heartbeat_timeout: 300 } } };

/** Answers `script` to the discoveries and lookups in turn, then FOUND; returns what happened. */
async function lookUp(
  script: Answer[],
  options: { version?: string; timeout?: number; nodeUuid?: string; attemptTakes?: number } = {},
) {
  const ironic = fakeIronic(options.version ?? "1.99", (_, path) =>
    path === "/" && script[0] !== "refused" && script[0]?.status !== 503 ? null : (script.shift() ?? FOUND),
  );
  const system = recordedSystem({
    http: async (request) => {
      if (options.attemptTakes !== undefined && request.url.includes("/v1/lookup"))
        await system.clock.sleep(options.attemptTakes);
      return ironic.http(request);
    },
  });
  const api = await IronicApi.create(system, Config.of({ api_url: "http://ironic" }));
  const query = {
    macs: ["52:54:00:AA:00:01", "52:54:00:aa:00:02", "52:54:00:aa:00:01"],
    ...(options.nodeUuid === undefined ? {} : { nodeUuid: options.nodeUuid }),
  };
  const answer = await lookUpNode(
    api!,
    query,
    { timeout: options.timeout ?? 300, interval: 1, answer: 120 },
    system,
    new AbortController().signal,
  ).catch((error: unknown) => error);
  const lookups = ironic.requests.filter(({ url }) => url.includes("/v1/lookup"));
  return { answer, lookups, requests: ironic.requests, sleeps: system.sleeps, records: system.records };
}

describe("the lookup", () => {
  // control-plane 11.49; contract 10.1, 10.3
  test("asks for the version first and then, with it, by all MACs in lower case, each once", async () => {
    const { answer, requests } = await lookUp([]);
    expect(answer).toMatchObject({ uuid: UUID, heartbeatTimeout: 300 });
    expect(requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
      "GET http://ironic/",
      "GET http://ironic/v1/lookup?addresses=52%3A54%3A00%3Aaa%3A00%3A01%2C52%3A54%3A00%3Aaa%3A00%3A02",
    ]);
    expect(requests[1]!.headers).toMatchObject({ "X-OpenStack-Ironic-API-Version": "1.62" });
    expect(requests[0]!.headers).not.toHaveProperty("X-OpenStack-Ironic-API-Version");
  });

  // control-plane 11.49, 11.82; contract 10.3
  test("asks an older server at its own version, and names the node when it is known", async () => {
    const { lookups } = await lookUp([], { version: "1.31", nodeUuid: UUID });
    expect(lookups[0]!.headers).toMatchObject({ "X-OpenStack-Ironic-API-Version": "1.31" });
    expect(lookups[0]!.url).toEndWith(`&node_uuid=${UUID}`);
  });

  // control-plane 11.50, DEV-22b; contract 10.2
  test("never happens while the version is unknown: that would cost the token", async () => {
    const { lookups, sleeps, answer } = await lookUp(["refused", { status: 503 }, { status: 503 }]);
    expect(answer).toMatchObject({ uuid: UUID });
    expect(lookups.length).toBe(1);
    expect(sleeps.length).toBe(3);
  });

  // control-plane 11.51; contract 10.4
  test("is repeated after every kind of failure, with waits whose upper limit doubles up to 60 s", async () => {
    const failures: Answer[] = [
      { status: 404, body: fault("Node could not be found.") },
      { status: 500, body: "oops" },
      { status: 200, body: "not json" },
      { status: 200, body: { config: { heartbeat_timeout: 300 } } },
      { status: 200, body: { node: {}, config: { heartbeat_timeout: 300 } } },
      { status: 200, body: { node: { uuid: UUID } } },
      { status: 400 },
      "refused",
      { status: 403 },
    ];
    const { answer, sleeps, records } = await lookUp([...failures], { timeout: 1000 });
    expect(answer).toMatchObject({ uuid: UUID });
    // The recorded clock takes the middle of each range.
    expect(sleeps).toEqual([0.5, 1, 2, 4, 8, 16, 30, 30, 30]);
    const warnings = records.filter(({ level }) => level === "WARNING").map(({ message }) => message);
    expect(warnings.length).toBe(failures.length);
    expect(warnings[0]).toContain("Error 404: Node could not be found.");
    expect(warnings.at(-1)).toContain("names the wrong endpoint");
  });

  // control-plane 11.52; contract 10.5
  test("leaves a locked node alone for 5, 10, then 30 s; another failure begins again", async () => {
    const locked = { status: 409, body: fault("Node is locked") };
    const { sleeps } = await lookUp([locked, locked, locked, locked, { status: 404 }, locked], {
      timeout: 1000,
    });
    expect(sleeps).toEqual([5.5, 11, 32, 34, 8, 21]);
  });

  test("asks for the version again when Ironic refuses it", async () => {
    const { requests } = await lookUp([{ status: 406 }]);
    expect(requests.map(({ url }) => new URL(url).pathname)).toEqual(["/", "/v1/lookup", "/", "/v1/lookup"]);
  });

  // control-plane 11.17
  test("ends with an error that says what was asked and answered once the time is over", async () => {
    const { answer, sleeps } = await lookUp(Array(50).fill({ status: 404, body: fault("no such node") }), {
      timeout: 3,
    });
    expect(answer).toBeInstanceOf(LookupNodeError);
    const { details } = answer as LookupNodeError;
    expect(details).toStartWith("Could not look up node info. Check logs for details.");
    expect(details).toContain("52:54:00:aa:00:02");
    expect(details).toContain("no such node");
    expect(details).toContain("for 3 s (lookup_timeout is 3 s)");
    // The third wait would have been 2 s: the last attempt begins when the time is over, not later.
    expect(sleeps).toEqual([0.5, 1, 1.5]);
  });

  test("never outlasts its time because of a locked node, and says how long the last attempt made it", async () => {
    const locked = { status: 409, body: fault("Node is locked") };
    const { answer, sleeps } = await lookUp([locked, locked, locked], { timeout: 3, attemptTakes: 2 });
    // 2 s for the first attempt, 1 s of pause, 2 s for the second.
    expect(sleeps).toEqual([2, 1, 2]);
    expect((answer as LookupNodeError).details).toContain("for 5 s (lookup_timeout is 3 s)");
  });

  test("stops when told to, not after its patience", async () => {
    const stop = new AbortController();
    const ironic = fakeIronic("1.82", () => {
      stop.abort(new Error("told to stop"));
      return "refused";
    });
    const system = recordedSystem({ http: ironic.http });
    const api = await IronicApi.create(system, Config.of({ api_url: "http://ironic" }));
    const patience = { timeout: 300, interval: 1, answer: 120 };
    expect(await thrower(lookUpNode(api!, { macs: [] }, patience, system, stop.signal))).toThrow(
      "told to stop",
    );
  });

  test("waits for its answer as long as it is told: the token comes with it, and only once", async () => {
    const { requests } = await lookUp([]);
    expect(requests.map(({ timeout }) => timeout)).toEqual([30, 120]);
  });

  test("says before the first attempt whom it asks for what, so that nobody has to wait for the end to compare", async () => {
    const { records } = await lookUp(["refused"], { nodeUuid: UUID });
    expect(records.map(({ level, message }) => `${level} ${message}`)[0]).toBe(
      `INFO Looking up the node at http://ironic with the MAC addresses 52:54:00:aa:00:01, 52:54:00:aa:00:02 and the UUID ${UUID}`,
    );
  });

  test("says of an answer that cannot be used what is wrong with it, and asks again", async () => {
    const { answer, records } = await lookUp([
      { status: 200, body: "{bad" },
      { status: 200, body: "" },
      { status: 200, body: { node: {} } },
    ]);
    expect(answer).toMatchObject({ uuid: UUID });
    const warnings = records.filter(({ level }) => level === "WARNING").map(({ message }) => message);
    expect(warnings).toEqual([
      `Lookup attempt 1 failed: Ironic's answer is of no use: it is no JSON, but begins with "{bad"`,
      "Lookup attempt 2 failed: Ironic's answer is of no use: it is empty",
      "Lookup attempt 3 failed: Ironic's answer is of no use: it has no node with a UUID",
    ]);
  });
});
