// The three API requests of a ramdisk, checked over real HTTP against what Ironic 21.4 answers (conductor contract 1.1
// to 1.5).

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { thrower } from "../support/rejection.ts";
import { testCertificate } from "./certificate.ts";
import { EmbeddedConductor } from "./conductor.ts";
import type { ConductorEvent } from "./events.ts";
import type { Node } from "./node.ts";
import type { ConductorSettings } from "./settings.ts";
import { SimulatedPower } from "./simulated-power.ts";

const UUID = "2289732a-7b4c-4d0f-8f63-09d1c0a3b7de";
const MAC = "52:54:00:aa:bb:01";
const OTHER_MAC = "52:54:00:aa:bb:02";
const VERSION = "X-OpenStack-Ironic-API-Version";

let conductor: EmbeddedConductor;
let node: Node;
let events: ConductorEvent[];

function start(settings: Partial<ConductorSettings> = {}): void {
  conductor = EmbeddedConductor.start({ settings });
  node = conductor.enrol(
    {
      uuid: UUID,
      name: "node-0",
      macs: [MAC, OTHER_MAC],
      properties: { capabilities: "boot_mode:uefi" },
      instanceInfo: { image_url: "http://images/secret", configdrive: { user_data: "x" }, root_gb: 5 },
    },
    new SimulatedPower(),
  );
  node.provisionState = "wait call-back";
  events = [];
  conductor.observe((event) => events.push(event));
}

beforeEach(() => start());
afterEach(() => conductor[Symbol.asyncDispose]());

function lookup(query = `addresses=${MAC}`, version: string | null = "1.62"): Promise<Response> {
  return fetch(`${conductor.url}/v1/lookup?${query}`, {
    headers: version === null ? {} : { [VERSION]: version },
  });
}

async function lookupToken(): Promise<string> {
  const body = (await (await lookup()).json()) as { config: { agent_token: string } };
  return body.config.agent_token;
}

async function heartbeat(
  change: Record<string, unknown> = {},
  version = "1.68",
  ident = UUID,
): Promise<Response> {
  const fields = { callback_url: "https://192.0.2.7:9999", agent_token: node.token, agent_version: "6.4.4" };
  return await fetch(`${conductor.url}/v1/heartbeat/${ident}`, {
    method: "POST",
    headers: { [VERSION]: version },
    body: JSON.stringify({ ...fields, ...change }),
  });
}

/** The `faultstring` inside the JSON string inside the JSON body. */
async function faultOf(response: Response): Promise<string> {
  const body = (await response.json()) as { error_message: string };
  expect(typeof body.error_message).toBe("string");
  const fault = JSON.parse(body.error_message);
  return fault.faultstring ?? fault.description;
}

describe("versions", () => {
  test("discovery needs no header and names the range", async () => {
    const body = (await (await fetch(`${conductor.url}/`)).json()) as Record<string, never>;
    expect(body).toMatchObject({
      name: "OpenStack Ironic API",
      default_version: { id: "v1", status: "CURRENT", min_version: "1.1", version: "1.82" },
      versions: [{ id: "v1", version: "1.82" }],
    });
  });

  test("without the header, and below 1.22, lookup and heartbeat do not exist", async () => {
    expect((await lookup(undefined, null)).status).toBe(404);
    expect((await lookup(undefined, "1.21")).status).toBe(404);
    expect((await lookup(undefined, "1.22")).status).toBe(200);
    await lookupToken();
    expect((await heartbeat({}, "1.21")).status).toBe(404);
  });

  test.each(["1.83", "2.1", "1.0", "banana", "1", "1.1.1"])(
    "version %s is refused with 406",
    async (version) => {
      const response = await lookup(undefined, version);
      expect(response.status).toBe(406);
      const { error_message } = (await response.json()) as { error_message: string };
      expect(JSON.parse(error_message)).toMatchObject({ code: 406, title: "Not Acceptable" });
    },
  );

  test("the range is in the headers, but not after a malformed one", async () => {
    const good = await lookup();
    expect(good.headers.get("X-OpenStack-Ironic-API-Maximum-Version")).toBe("1.82");
    expect(good.headers.get(VERSION)).toBe("1.62");
    expect((await lookup(undefined, "1.83")).headers.get("X-OpenStack-Ironic-API-Minimum-Version")).toBe(
      "1.1",
    );
    expect((await lookup(undefined, "x")).headers.get("X-OpenStack-Ironic-API-Maximum-Version")).toBeNull();
  });
});

test("the API can be served over HTTPS", async () => {
  const tls = await testCertificate("127.0.0.1");
  await using secure = EmbeddedConductor.start({ tls });
  expect(secure.url).toStartWith("https://127.0.0.1:");
  expect((await fetch(`${secure.url}/`, { tls: { ca: tls.cert } })).status).toBe(200);
});

describe("lookup", () => {
  test("finds the node by any of its addresses, in any case", async () => {
    expect((await lookup(`addresses=52:54:00:00:00:99, ${OTHER_MAC.toUpperCase()} ,junk`)).status).toBe(200);
  });

  test("finds it by UUID whatever the addresses say", async () => {
    expect((await lookup(`node_uuid=${UUID}&addresses=`)).status).toBe(200);
    expect((await lookup(`node_uuid=${UUID}&addresses=52:54:00:00:00:99`)).status).toBe(200);
  });

  test("refuses what cannot be looked up", async () => {
    expect((await lookup("addresses=")).status).toBe(400);
    expect((await lookup("addresses=junk")).status).toBe(400);
    expect((await lookup("node_uuid=junk")).status).toBe(400);
    expect((await lookup("addresses=52:54:00:00:00:99")).status).toBe(404);
  });

  test("addresses of two nodes are nobody's", async () => {
    const other = conductor.enrol(
      { uuid: crypto.randomUUID(), macs: ["52:54:00:00:00:07"] },
      new SimulatedPower(),
    );
    other.provisionState = "clean wait";
    expect((await lookup(`addresses=${MAC},52:54:00:00:00:07`)).status).toBe(404);
  });

  test("a state that refuses looks like an unknown node", async () => {
    node.provisionState = "active";
    const response = await lookup();
    expect(response.status).toBe(404);
    expect(await faultOf(response)).toBe("Resource could not be found.");
  });

  test("answers with node and config, secrets masked", async () => {
    node.token = "t".repeat(43);
    const body = (await (await lookup()).json()) as Record<string, Record<string, unknown>>;
    expect(body.node).toMatchObject({
      uuid: UUID,
      properties: { capabilities: "boot_mode:uefi" },
      instance_info: { image_url: "******", configdrive: "******", root_gb: 5 },
      driver_internal_info: { agent_secret_token: "******" },
    });
    expect(Object.keys(body.config!).sort()).toEqual([
      "agent_token",
      "agent_token_required",
      "disable_deep_image_inspection",
      "enable_bios_bootloader_install",
      "heartbeat_timeout",
      "metrics",
      "metrics_statsd",
      "permitted_image_formats",
    ]);
    expect(JSON.stringify(body)).not.toContain(node.token);
  });

  test("hands the token out once, and only from 1.62 on", async () => {
    const old = (await (await lookup(undefined, "1.61")).json()) as { config: { agent_token: unknown } };
    expect(old.config.agent_token).toBeNull();
    const token = await lookupToken();
    expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(await lookupToken()).toBe("******");
    node.wipeAgent();
    expect(await lookupToken()).not.toBe(token);
  });

  test("fails on demand and tells its observers", async () => {
    conductor.faults.failLookups("conflict", 2);
    conductor.faults.failLookups("server-error");
    conductor.faults.failLookups("garbage");
    const statuses = [];
    for (let count = 0; count < 5; count++) statuses.push((await lookup()).status);
    expect(statuses).toEqual([409, 409, 500, 200, 200]);
    const seen = events.filter((event) => event.type === "lookup");
    expect(seen.at(-1)).toMatchObject({ node: UUID, addresses: [MAC], status: 200, version: "1.62" });
  });
});

describe("heartbeat", () => {
  beforeEach(lookupToken);

  test("success is 202 without body and content type", async () => {
    const response = await heartbeat();
    expect(response.status).toBe(202);
    expect(await response.text()).toBe("");
    expect(response.headers.get("content-type")).toBeNull();
  });

  test("takes the node's name as well", async () => {
    expect((await heartbeat({}, "1.68", "node-0")).status).toBe(202);
    expect((await heartbeat({}, "1.68", "node-1")).status).toBe(404);
  });

  test.each([
    [{ foo: 1 }, "Unexpected arguments: foo"],
    [{ callback_url: undefined }, "Missing mandatory parameter: callback_url"],
    [{ callback_url: 5 }, "Expected string for callback_url: 5"],
    [{ agent_token: null }, "Agent token is required for heartbeat processing."],
    [{ agent_token: "t".repeat(43) }, "Invalid or missing agent token received."],
    [
      { agent_version: null },
      "Agent did not transmit a version, and a version is required. Please update the agent being used.",
    ],
    [{ agent_version: 6 }, "Expected string for agent_version: 6"],
  ])("refuses %j", async (change, fault) => {
    const response = await heartbeat(change);
    expect(response.status).toBe(400);
    expect(await faultOf(response)).toBe(fault);
  });

  test.each([
    ["agent_version", "6.4.4", "1.35", 'Field "agent_version" not recognised'],
    ["agent_verify_ca", "PEM", "1.67", 'Field "agent_verify_ca" not recognised in this version'],
    ["agent_status", "end", "1.71", 'Fields "agent_status" and "agent_status_message" not recognised.'],
  ])("%s does not exist below its version", async (field, value, version, fault) => {
    const response = await heartbeat({ [field]: value }, version);
    expect(response.status).toBe(400);
    expect(await faultOf(response)).toBe(fault);
  });

  test("a body that is not JSON is refused", async () => {
    const response = await fetch(`${conductor.url}/v1/heartbeat/${UUID}`, {
      method: "POST",
      headers: { [VERSION]: "1.68" },
      body: "{",
    });
    expect(response.status).toBe(400);
  });

  test("a token that was never handed out, or was wiped, is refused", async () => {
    const token = node.token;
    node.wipeAgent();
    expect(await faultOf(await heartbeat({ agent_token: token }))).toBe(
      "Invalid or missing agent token received.",
    );
  });

  test("URL and certificate must not change within a boot; the URL is looked at before the token", async () => {
    node.provisionState = "deploying";
    expect((await heartbeat({ agent_verify_ca: "PEM" })).status).toBe(202);
    await conductor.idle();
    expect(node.agent).toEqual({ url: "https://192.0.2.7:9999", version: "6.4.4", verifyCa: "PEM" });
    expect(await faultOf(await heartbeat({ agent_verify_ca: "OTHER" }))).toBe(
      'Detected change in ramdisk provided "agent_verify_ca"',
    );
    expect(
      await faultOf(await heartbeat({ callback_url: "https://192.0.2.8:9999", agent_token: "wrong" })),
    ).toBe('Detected change in ramdisk provided "callback_url"');
    expect((await heartbeat({ agent_verify_ca: "PEM" })).status).toBe(202);
  });

  test("TLS can be required", async () => {
    await conductor[Symbol.asyncDispose]();
    start({ requireTls: true });
    await lookupToken();
    const response = await heartbeat({ callback_url: "http://192.0.2.7:9999" });
    expect(await faultOf(response)).toBe("TLS is required by configuration");
    expect((await heartbeat()).status).toBe(202);
  });

  test("fails on demand, says why, and recovers", async () => {
    conductor.faults.refuseHeartbeats({ status: 503, reason: "no free conductor worker" }, 1);
    expect((await heartbeat()).status).toBe(503);
    expect((await heartbeat()).status).toBe(202);
    expect(events.find((event) => event.type === "heartbeat-refused")).toEqual({
      type: "heartbeat-refused",
      ident: UUID,
      status: 503,
      reason: "no free conductor worker",
    });
  });

  test("a locked node's heartbeat is accepted and dropped", async () => {
    {
      using _lock = node.lock.tryAcquire();
      expect((await heartbeat()).status).toBe(202);
      await conductor.idle();
    }
    expect(node.agent).toBeNull();
    expect(events.at(-1)).toMatchObject({ type: "heartbeat", outcome: "dropped" });
  });

  test("a conductor that went away is back at the same address", async () => {
    const { url } = conductor;
    await conductor.goOffline();
    expect(await thrower(heartbeat())).toThrow();
    conductor.comeBack();
    expect(conductor.url).toBe(url);
    expect((await heartbeat()).status).toBe(202);
  });
});
