// When heartbeats go out and what is in them; time is the test's.

import { afterEach, describe, expect, test } from "bun:test";
import { Config } from "../../src/config/config.ts";
import { IronicApi } from "../../src/ironic/api-client.ts";
import { Heartbeater, type HeartbeaterOptions } from "../../src/ironic/heartbeat.ts";
import { AgentToken } from "../../src/ironic/token.ts";
import type { JsonObject } from "../../src/json.ts";
import { NO_METRICS } from "../../src/metrics/metrics.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { type Answer, fakeIronic, fault } from "./fake-ironic.ts";

const TOKEN = "gnhF7yzJ0T9nPDGJfl7XcLyvY6dPxvCUuDcZc7U2N-I";
const ACCEPTED: Answer = { status: 202 };

const started: Heartbeater[] = [];
afterEach(async () => {
  for (const heartbeater of started.splice(0)) await heartbeater.stop();
});

/** A heartbeater on a clock that stands still, and when it sent what. */
async function rig(script: Answer[] = [], version = "1.99", options: Partial<HeartbeaterOptions> = {}) {
  const clock = new ManualClock();
  const beats: { readonly at: number; readonly body: JsonObject; readonly version: string | undefined }[] =
    [];
  const ironic = fakeIronic(version, (request, path) => {
    if (!path.startsWith("/v1/heartbeat/")) return null;
    beats.push({
      at: clock.monotonic(),
      body: JSON.parse(request.body ?? ""),
      version: request.headers?.["X-OpenStack-Ironic-API-Version"],
    });
    return script.shift() ?? ACCEPTED;
  });
  const system = recordedSystem({ http: ironic.http });
  const api = await IronicApi.create(system, Config.of({ api_url: "http://ironic" }));
  const heartbeater = new Heartbeater({
    api: api!,
    clock,
    log: system.log,
    metrics: NO_METRICS,
    token: new AgentToken(TOKEN),
    nodeUuid: "node-1",
    callbackUrl: "https://192.0.2.7:9999",
    agentVersion: "1.2.3",
    verifyCa: "PEM",
    heartbeatTimeout: 300,
    ...options,
  });
  started.push(heartbeater);
  const times = () => beats.map(({ at }) => at);
  return { clock, heartbeater, beats, times, ironic, records: system.records };
}

describe("regular heartbeats", () => {
  // control-plane 11.55; contract 10.15
  test("the first goes out at once, the others after 0.3 to 0.6 times the time-out", async () => {
    const { clock, heartbeater, times } = await rig();
    heartbeater.start();
    await clock.advance(0);
    expect(times()).toEqual([0]);
    await clock.advance(90);
    expect(times()).toEqual([0, 90]);
    clock.position = 1;
    await clock.advance(90);
    await clock.advance(179);
    expect(times()).toEqual([0, 90, 180]);
    await clock.advance(1);
    expect(times()).toEqual([0, 90, 180, 360]);
  });

  // control-plane 11.55; contract 10.14, 10.15
  test("after a failure the next attempt comes within 5 to 10 s, as long as it takes", async () => {
    const failures: Answer[] = ["refused", { status: 503 }, { status: 404 }, { status: 409 }];
    const { clock, heartbeater, times, records } = await rig(failures);
    heartbeater.start();
    await clock.advance(5);
    clock.position = 1;
    await clock.advance(25);
    expect(times()).toEqual([0, 5, 10, 20, 30]);
    await clock.advance(100);
    expect(times().length).toBe(5);
    const levels = records.filter(({ level }) => level !== "DEBUG").map(({ level }) => level);
    expect(levels).toEqual(["ERROR", "ERROR", "ERROR", "WARNING"]);
  });

  test("stopping ends them, also in the middle of a wait", async () => {
    const { clock, heartbeater, times } = await rig();
    heartbeater.start();
    await clock.advance(0);
    await heartbeater.stop();
    await clock.advance(1000);
    expect(times()).toEqual([0]);
  });
});

describe("the body", () => {
  // control-plane 11.49, 11.50, 11.57; contract 10.1, 10.11, 10.12
  test("has exactly what the server's version knows, in order", async () => {
    for (const [version, keys] of [
      ["1.31", ["callback_url"]],
      ["1.35", ["callback_url"]],
      ["1.36", ["callback_url", "agent_version"]],
      ["1.62", ["callback_url", "agent_token", "agent_version"]],
      ["1.67", ["callback_url", "agent_token", "agent_version"]],
      ["1.68", ["callback_url", "agent_token", "agent_version", "agent_verify_ca"]],
      ["1.99", ["callback_url", "agent_token", "agent_version", "agent_verify_ca"]],
    ] as const) {
      const { clock, heartbeater, beats } = await rig([], version);
      heartbeater.start();
      await clock.advance(0);
      expect(Object.keys(beats[0]!.body)).toEqual([...keys]);
      expect(beats[0]!.version).toBe(`1.${Math.min(Number(version.slice(2)), 68)}`);
    }
  });

  test("has the values given, null for a token that is not held, and no CA without automatic TLS", async () => {
    const { clock, heartbeater, beats } = await rig();
    heartbeater.start();
    await clock.advance(0);
    expect(beats[0]!.body).toEqual({
      callback_url: "https://192.0.2.7:9999",
      agent_token: TOKEN,
      agent_version: "1.2.3",
      agent_verify_ca: "PEM",
    });
    const plain = await rig([], "1.99", { token: new AgentToken(), verifyCa: null });
    plain.heartbeater.start();
    await plain.clock.advance(0);
    expect(plain.beats[0]!.body).toMatchObject({ agent_token: null });
    expect(plain.beats[0]!.body).not.toHaveProperty("agent_verify_ca");
  });
});

describe("forced heartbeats", () => {
  // control-plane 11.56, DEV-22c; contract 10.16
  test("wait until a second after the command was accepted and 5 s after the last heartbeat", async () => {
    const { clock, heartbeater, times } = await rig();
    heartbeater.start();
    await clock.advance(20);
    heartbeater.force(20);
    await clock.advance(0.99);
    expect(times()).toEqual([0]);
    await clock.advance(0.02);
    expect(times()).toEqual([0, 21]);
    heartbeater.noteRequest();
    heartbeater.force(21.01);
    await clock.advance(4.9);
    expect(times()).toEqual([0, 21]);
    await clock.advance(0.1);
    expect(times()).toEqual([0, 21, 26]);
  });

  test("a command that took longer than a second is reported at once", async () => {
    const { clock, heartbeater, times } = await rig();
    heartbeater.start();
    await clock.advance(60);
    heartbeater.force(10);
    await clock.advance(0);
    expect(times()).toEqual([0, 60]);
  });

  // DEV-22c
  test("are repeated every 5 s, three times, while the conductor is silent", async () => {
    const { clock, heartbeater, times } = await rig();
    heartbeater.start();
    await clock.advance(20);
    heartbeater.force(10);
    await clock.advance(60);
    expect(times()).toEqual([0, 20, 25, 30, 35]);
  });

  test("are not repeated once the conductor has come", async () => {
    const { clock, heartbeater, times } = await rig();
    heartbeater.start();
    await clock.advance(20);
    heartbeater.force(10);
    await clock.advance(6);
    heartbeater.noteRequest();
    await clock.advance(60);
    expect(times()).toEqual([0, 20, 25]);
  });

  test("a request that came before the heartbeat does not replace it", async () => {
    const { clock, heartbeater, times } = await rig();
    heartbeater.start();
    await clock.advance(20);
    heartbeater.force(20);
    heartbeater.noteRequest();
    await clock.advance(2);
    expect(times()).toEqual([0, 21]);
  });

  test("many commands that end together make one heartbeat", async () => {
    const { clock, heartbeater, times } = await rig();
    heartbeater.start();
    await clock.advance(20);
    for (let i = 0; i < 10; i++) heartbeater.force(10);
    await clock.advance(0);
    heartbeater.noteRequest();
    await clock.advance(10);
    expect(times()).toEqual([0, 20]);
  });

  test("a failed one is repeated too", async () => {
    const { clock, heartbeater, times } = await rig([ACCEPTED, "refused", ACCEPTED]);
    heartbeater.start();
    await clock.advance(20);
    heartbeater.force(10);
    await clock.advance(5);
    heartbeater.noteRequest();
    expect(times()).toEqual([0, 20, 25]);
  });
});

describe("what Ironic refuses", () => {
  const problems = (records: readonly { level: string; message: string }[]) =>
    records.filter(({ level }) => level === "ERROR" || level === "WARNING").map(({ message }) => message);

  // contract 10.58
  test("an invalid token after a success is no error and is told once", async () => {
    const gone = { status: 400, body: fault("Invalid or missing agent token received.") };
    const { clock, heartbeater, records } = await rig([ACCEPTED, gone, gone, gone]);
    heartbeater.start();
    await clock.advance(105);
    expect(problems(records)).toEqual([]);
    const told = records.filter(({ message }) => message.includes("Invalid or missing agent token"));
    expect(told.map(({ level }) => level)).toEqual(["INFO", "DEBUG", "DEBUG"]);
  });

  test("an invalid token from the start is an error", async () => {
    const { clock, heartbeater, records } = await rig([
      { status: 400, body: fault("Agent token is required") },
    ]);
    heartbeater.start();
    await clock.advance(0);
    expect(problems(records)[0]).toContain("Error 400: Agent token is required");
  });

  // contract 10.61
  test("TLS that is required comes with what to do", async () => {
    const refused = { status: 400, body: fault("TLS is required by configuration") };
    const { clock, heartbeater, records } = await rig([refused], "1.99", {
      callbackUrl: "http://192.0.2.7:9999",
    });
    heartbeater.start();
    await clock.advance(0);
    expect(problems(records)[0]).toContain("enable_auto_tls");
    expect(problems(records)[0]).toContain("http://192.0.2.7:9999");
  });

  test("a version makes it ask again which versions there are", async () => {
    const { clock, heartbeater, ironic } = await rig([{ status: 406 }]);
    heartbeater.start();
    await clock.advance(5);
    expect(ironic.requests.map(({ method }) => method)).toEqual(["GET", "POST", "GET", "POST"]);
  });

  test("the token is in no log line", async () => {
    const { clock, heartbeater, records } = await rig(["refused", { status: 500, body: fault("x") }]);
    heartbeater.start();
    await clock.advance(400);
    expect(records.length).toBeGreaterThan(2);
    expect(JSON.stringify(records)).not.toContain(TOKEN);
  });
});
