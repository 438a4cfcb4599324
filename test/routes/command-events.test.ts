// Live events of a command (issue 4, Deliver 2), over real sockets where the connection matters.

import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { SERVER_BODY_LIMIT } from "../../src/routes/api.ts";
import { realClock } from "../../src/system/clock.ts";
import { type Listening, realHttpListener, type TlsServerOptions } from "../../src/system/http-server.ts";
import { step } from "../extensions/fixture.ts";
import { selfSigned } from "../support/certificate.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { type ApiFixture, apiFixture, HOST, TOKEN } from "./fixture.ts";

const servers: Listening[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(0);
});

async function serve(api: ApiFixture, tls: TlsServerOptions | null = null): Promise<Listening> {
  const local = { host: "127.0.0.1", port: 0, maxRequestBody: SERVER_BODY_LIMIT };
  const server = await realHttpListener({ ...local, tls, handle: api.api });
  servers.push(server);
  return server;
}

type Seen = { readonly event: string; readonly id: string | null; readonly data: Record<string, unknown> };

function parse(text: string): Seen[] {
  return text
    .split("\n\n")
    .filter((block) => /^event: /m.test(block))
    .map((block) => {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1] ?? null;
      return { event: field("event") ?? "", id: field("id"), data: JSON.parse(field("data") ?? "null") };
    });
}

/** The answer's text so far, and a promise for when it has ended. */
function reading(response: Response): { text: () => string; ended: Promise<void>; cancel(): Promise<void> } {
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = "";
  const pump = async () => {
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read())
      text += decoder.decode(chunk.value, { stream: true });
  };
  return { text: () => text, ended: pump(), cancel: () => reader.cancel() };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(2);
}

describe("a command's events", () => {
  test("state, log and progress as they come, the end last; over TLS, secrets masked", async () => {
    const go = Promise.withResolvers<void>();
    const talks = step("talks", async ({ system, report }) => {
      system.log.info("looking at /dev/sda, agent_token=S3CRET");
      await go.promise;
      report({ phase: "writing", done: 5, total: 9, unit: "byte", rate: null });
      system.log.warning("é\nsecond line");
      return null;
    });
    const api = await apiFixture({ clock: realClock, steps: [talks] });
    await using certificate = await selfSigned("127.0.0.1");
    const server = await serve(api, certificate);
    const { json } = await api.post("clean.execute_clean_step", {
      step: { step: "talks" },
      node: {},
      ports: [],
    });
    const response = await fetch(`https://127.0.0.1:${server.port}/v1/commands/${json.id}/events`, {
      tls: { ca: certificate.cert },
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const stream = reading(response);
    await until(() => stream.text().includes("looking at /dev/sda"));
    expect(stream.text()).toStartWith("retry: 2000\nevent: state\n");
    go.resolve();
    await stream.ended;

    const seen = parse(stream.text());
    expect(seen[0]).toMatchObject({ event: "state", id: null, data: { command_status: "RUNNING" } });
    expect(seen.at(-1)).toEqual({ event: "state", id: "end", data: api.registry.get(json.id) });
    expect(seen).toContainEqual({
      event: "progress",
      id: null,
      data: { phase: "writing", done: 5, total: 9, unit: "byte", rate: null },
    });
    const lines = seen.filter(({ event }) => event === "log");
    expect(lines[0]).toMatchObject({
      id: "1",
      data: { level: "INFO", message: "looking at /dev/sda, agent_token=******" },
    });
    expect(lines[1]).toMatchObject({ id: "2", data: { level: "WARNING", message: "é\nsecond line" } });
    expect(stream.text()).not.toContain("S3CRET");
    expect(stream.text()).toMatch(/^[\n -~]*$/);
  });

  test("go on where a reader was, and tell it when there is nothing more", async () => {
    const api = await apiFixture({
      steps: [
        step("three", async ({ system }) => {
          for (const line of ["one", "two", "three"]) system.log.info(line);
          return null;
        }),
      ],
    });
    const params = { step: { step: "three" }, node: {}, ports: [] };
    const { json } = await api.post("clean.execute_clean_step", params, "?wait=true");
    const read = async (last: string) => {
      const request = new Request(`${HOST}/commands/${json.id}/events`, {
        headers: { "Last-Event-ID": last },
      });
      const response = await api.api(request, null);
      return { status: response.status, seen: parse(await response.text()) };
    };
    const messages = ({ seen }: { seen: Seen[] }) =>
      seen.flatMap(({ event, data }) => (event === "log" ? [data.message] : []));
    expect(messages(await read("")).slice(0, 3)).toEqual(["one", "two", "three"]);
    expect(messages(await read("2"))[0]).toBe("three");
    expect(messages(await read("nonsense"))[0]).toBe("one");
    expect((await read("2")).seen.at(-1)).toMatchObject({ event: "state", id: "end" });
    expect(await read("end")).toEqual({ status: 204, seen: [] });
  });

  test("are kept alive by comments while nothing happens", async () => {
    const clock = new ManualClock();
    const api = await apiFixture({ clock });
    const { json } = await api.post("test.hold", {});
    await clock.advance(0);
    const response = await api.api(new Request(`${HOST}/v1/commands/${json.id}/events`), null);
    const stream = reading(response);
    await until(() => stream.text().includes("event: state"));
    await clock.advance(31);
    expect(stream.text().match(/^: nothing new$/gm)).toHaveLength(2);
    api.gate.open();
    await stream.ended;
    expect(parse(stream.text()).at(-1)?.id).toBe("end");
  });

  test("follow the rules of reading results", async () => {
    const api = await apiFixture({ config: { standalone: false }, token: TOKEN });
    const { json } = await api.post("test.echo_sync", { value: 1 }, `?agent_token=${TOKEN}`);
    const path = `/v1/commands/${json.id}/events`;
    expect((await api.get(path)).status).toBe(200);
    expect((await api.get(`${path}?agent_token=${"f".repeat(32)}`)).status).toBe(401);
    expect((await api.get(`${path}?agent_token=${TOKEN}`)).status).toBe(200);
    expect((await api.get(path)).status).toBe(401);
    const unknown = await api.get(`/v1/commands/nosuch/events?agent_token=${TOKEN}`);
    expect(unknown.json).toEqual({
      faultcode: "Client",
      faultstring: "Not found: Command Result with id nosuch not found.",
    });
    expect(unknown.status).toBe(404);
    const posted = await api.request("POST", path);
    expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });
});

describe("readers", () => {
  test("that stop reading lose lines and hold nothing up", async () => {
    const flood = step("flood", async ({ system }) => {
      for (let n = 0; n < 100; n++) {
        for (let m = 0; m < 1000; m++) system.log.info(`line ${n * 1000 + m} ${"x".repeat(100)}`);
        await Bun.sleep(0);
      }
      return null;
    });
    const api = await apiFixture({ clock: realClock, steps: [flood] });
    const server = await serve(api);
    const socket = connect({ host: "127.0.0.1", port: server.port });
    let received = "";
    socket.on("data", (data) => {
      received += data;
    });
    const params = { step: { step: "flood" }, node: {}, ports: [] };
    const { json } = await api.post("clean.execute_clean_step", params);
    socket.write(`GET /v1/commands/${json.id}/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    await until(() => received.includes("event: state"));
    socket.pause();
    await api.registry.wait(json.id);
    socket.resume();
    await new Promise((resolve) => socket.once("close", resolve));
    const skipped = [...received.matchAll(/^data: \{"lines": (\d+)\}/gm)].map(([, lines]) => Number(lines));
    expect(skipped.reduce((sum, lines) => sum + lines, 0)).toBeGreaterThan(1000);
    expect(received).toContain("id: end");
  }, 120_000);

  test("are limited, and those who leave make room", async () => {
    const api = await apiFixture({ clock: realClock });
    const server = await serve(api);
    const { json } = await api.post("test.hold", {});
    await api.gate.begun;
    const url = `http://127.0.0.1:${server.port}/v1/commands/${json.id}/events`;
    const open = async () => {
      const stream = reading(await fetch(url));
      await until(() => stream.text().includes("event: state"));
      return stream;
    };
    const streams = [];
    for (let n = 0; n < 32; n++) streams.push(await open());
    const refused = await fetch(url);
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).toBe("10");
    expect(await refused.json()).toMatchObject({ faultcode: "Server" });
    await streams[0]!.cancel();
    let status = 503;
    while (status === 503) {
      const response = await fetch(url);
      ({ status } = response);
      if (status === 200) streams[0] = reading(response);
      else await response.body?.cancel();
    }
    api.gate.open();
    await Promise.all(streams.map(({ ended }) => ended));
    expect((await fetch(url)).status).toBe(200);
  });

  test("who ask for the head alone take no place", async () => {
    const api = await apiFixture();
    const { json } = await api.post("test.hold", {});
    for (let n = 0; n < 40; n++) {
      const head = await api.request("HEAD", `/v1/commands/${json.id}/events`);
      expect([head.status, head.text]).toEqual([200, ""]);
    }
    api.gate.open();
    await api.registry.wait(json.id);
    expect((await api.get(`/v1/commands/${json.id}/events`)).status).toBe(200);
  });
});
