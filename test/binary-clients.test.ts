// What the compiled executable sends to Ironic, and how it takes the answers (control-plane 11.49 to 11.64, contract 10.1 to 10.17), over
// real sockets, with TLS where it matters. The agent serves its own API over TLS all the while.

import { describe, expect, test } from "bun:test";
import {
  type AgentProcess,
  machineMacs,
  spawnAgentProcess,
  startAgentProcess,
} from "./support/agent-process.ts";
import { selfSigned } from "./support/certificate.ts";
import {
  accepted,
  isHeartbeat,
  isLookup,
  type Received,
  type ScriptedIronic,
  scriptedIronic,
} from "./support/scripted-ironic.ts";

const UUID = "6d1d8b1c-1c71-4a5b-9d0e-0a3f5d4e2c13";
const TOKEN = "t".repeat(43);

const found = (config: object = {}) =>
  Response.json({
    node: { uuid: UUID, properties: {}, driver_internal_info: { content: "** Redacted **" } },
    config: { heartbeat_timeout: 300, agent_token: TOKEN, agent_token_required: true, ...config },
  });

/** Finds the node and takes heartbeats; `lookup` answers the lookups, told their number. */
const ironicThat =
  (lookup: (number: number) => Response = () => found()) =>
  (request: Received, before: readonly Received[]) => {
    if (isHeartbeat(request)) return accepted();
    return isLookup(request) ? lookup(before.filter(isLookup).length) : null;
  };

/** The agent that ends before what is waited for explains itself. */
function orItsEnd<T>(agent: AgentProcess, waited: Promise<T>): Promise<T> {
  const end = agent.exited.then((code) => Promise.reject(new Error(`ended with ${code}:\n${agent.log()}`)));
  return Promise.race([waited, end]);
}

const heartbeat = (agent: AgentProcess, ironic: ScriptedIronic) => orItsEnd(agent, ironic.first(isHeartbeat));
const seconds = (from: Received | undefined, to: Received | undefined) => (to?.time ?? 0) - (from?.time ?? 0);

describe.concurrent("the executable and its Ironic", () => {
  test("11.49, 11.54, 11.57, 11.58 and contract 10.1, 10.3, 10.10, 10.11: who asks what, and in which order", async () => {
    await using tls = await selfSigned("127.0.0.1");
    let status = 0;
    await using ironic = scriptedIronic({
      version: "1.99",
      tls,
      async answer(request, before) {
        if (!isHeartbeat(request))
          return ironicThat()(request, before) ?? Response.json({ default_version: { version: "1.99" } });
        const { callback_url: url, agent_verify_ca: ca } = request.body;
        status = (await fetch(`${url}/v1/status`, { tls: { ca } })).status;
        return accepted();
      },
    });
    await using agent = await startAgentProcess(
      ...["--api_url", `${ironic.url}/`, "--cafile", tls.certFile, "--global_request_id", "req-1"],
    );
    const beat = await heartbeat(agent, ironic);
    const [discovery, lookup] = ironic.received;
    expect([discovery?.path, discovery?.headers.has("x-openstack-ironic-api-version")]).toEqual(["/", false]);
    expect(lookup?.headers.get("x-openstack-ironic-api-version")).toBe("1.62");
    const macs = new URLSearchParams(lookup?.path.split("?")[1]).get("addresses")?.split(",") ?? [];
    expect(macs.toSorted()).toEqual(
      [...new Set(await machineMacs())].map((mac) => mac.toLowerCase()).toSorted(),
    );
    expect(beat.path).toBe(`/v1/heartbeat/${UUID}`);
    expect(beat.headers.get("x-openstack-ironic-api-version")).toBe("1.68");
    for (const { headers } of ironic.received) {
      expect(headers.get("x-openstack-request-id")).toBe("req-1");
      expect([headers.get("accept"), headers.get("content-type")]).toEqual([
        "application/json",
        "application/json",
      ]);
    }
    expect(Object.keys(beat.body)).toEqual([
      "callback_url",
      "agent_token",
      "agent_version",
      "agent_verify_ca",
    ]);
    expect(beat.body).toMatchObject({
      callback_url: `https://127.0.0.1:${agent.port}`,
      agent_token: TOKEN,
      agent_version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      agent_verify_ca: expect.stringContaining("BEGIN CERTIFICATE"),
    });
    while (status === 0) await Bun.sleep(5);
    expect(status).toBe(200);
  }, 60_000);

  test.each([
    ["1.31", ["callback_url"], "1.31"],
    ["1.36", ["callback_url", "agent_version"], "1.36"],
    ["1.62", ["callback_url", "agent_token", "agent_version"], "1.62"],
    ["1.67", ["callback_url", "agent_token", "agent_version"], "1.67"],
  ])(
    "11.50, 11.57 and contract 10.12: an Ironic that ends at %s gets no more than it knows",
    async (version, keys, header) => {
      await using ironic = scriptedIronic({
        version,
        answer: ironicThat(() =>
          version < "1.62" ? found({ agent_token: undefined, agent_token_required: undefined }) : found(),
        ),
      });
      await using agent = await startAgentProcess("--api_url", ironic.url);
      const beat = await heartbeat(agent, ironic);
      expect(Object.keys(beat.body)).toEqual(keys);
      expect(beat.body.callback_url).toBe(`http://127.0.0.1:${agent.port}`);
      expect(beat.headers.get("x-openstack-ironic-api-version")).toBe(header);
    },
    60_000,
  );

  test("11.50 and contract 10.2: while the version cannot be found out nothing is looked up", async () => {
    const failures = [new Response("oops", { status: 500 }), new Response("<html>"), Response.json({})];
    await using ironic = scriptedIronic({
      answer: (request, before) =>
        request.path === "/" ? (failures.shift() ?? null) : ironicThat()(request, before),
    });
    await using agent = await startAgentProcess("--api_url", ironic.url);
    await heartbeat(agent, ironic);
    expect(ironic.received.map(({ path }) => path.split("?")[0]).slice(0, 5)).toEqual([
      "/",
      "/",
      "/",
      "/",
      "/v1/lookup",
    ]);
  }, 60_000);

  test("11.51 and contract 10.4: every failed lookup is tried again", async () => {
    const failures = [
      Response.json({}, { status: 404 }),
      new Response("{bad"),
      Response.json({ node: {}, config: { heartbeat_timeout: 1 } }),
      Response.json({ node: { uuid: UUID } }),
    ];
    await using ironic = scriptedIronic({ answer: ironicThat((number) => failures[number] ?? found()) });
    await using agent = await startAgentProcess("--api_url", ironic.url);
    await heartbeat(agent, ironic);
    expect(ironic.received.filter(isLookup)).toHaveLength(failures.length + 1);
  }, 60_000);

  test("11.52 and contract 10.5: a node that is locked is asked for after 5 s, and then after 10 s", async () => {
    await using ironic = scriptedIronic({
      answer: ironicThat((number) => (number < 2 ? Response.json({}, { status: 409 }) : found())),
    });
    await using agent = await startAgentProcess("--api_url", ironic.url);
    await heartbeat(agent, ironic);
    const [first, second, third] = ironic.received.filter(isLookup);
    expect(seconds(first, second)).toBeGreaterThanOrEqual(5);
    expect(seconds(second, third)).toBeGreaterThanOrEqual(10);
  }, 60_000);

  test("11.53: the old form of the answer", async () => {
    await using ironic = scriptedIronic({
      version: "1.31",
      answer: ironicThat(() => Response.json({ node: { uuid: UUID }, heartbeat_timeout: 300 })),
    });
    await using agent = await startAgentProcess("--api_url", ironic.url);
    expect((await heartbeat(agent, ironic)).path).toBe(`/v1/heartbeat/${UUID}`);
  }, 60_000);

  test("11.17 and contract 10.6: a lookup that never succeeds ends it with 1, after its time", async () => {
    await using ironic = scriptedIronic({ answer: () => null });
    const started = performance.now() / 1000;
    await using agent = await startAgentProcess("--api_url", ironic.url, "--lookup_timeout", "3");
    expect(await agent.exited).toBe(1);
    const ended = performance.now() / 1000;
    expect(ended - started).toBeGreaterThan(3);
    // What starting and ending a process takes on a busy machine is not its doing.
    expect((ironic.received.at(-1)?.time ?? 0) - (ironic.received[0]?.time ?? 0)).toBeLessThan(9);
    expect(agent.log()).toContain("Could not look up node info. Check logs for details.");
  }, 60_000);

  test("11.55 and contract 10.14, 10.15, 10.58: refused heartbeats are told, and tried again after 5 to 10 s", async () => {
    const error_message = JSON.stringify({
      faultcode: "Client",
      faultstring: "Invalid or missing agent token received.",
    });
    await using ironic = scriptedIronic({
      answer: (request, before) =>
        isHeartbeat(request) && !before.some(isHeartbeat)
          ? Response.json({ error_message }, { status: 400 })
          : ironicThat()(request, before),
    });
    await using agent = await startAgentProcess("--api_url", ironic.url);
    await heartbeat(agent, ironic);
    const beats = () => ironic.received.filter(isHeartbeat);
    while (beats().length < 2) await Bun.sleep(20);
    expect(seconds(beats()[0], beats()[1])).toBeWithin(4.9, 11);
    expect(agent.log()).toContain("Invalid or missing agent token received.");
    expect(beats().map(({ body }) => body.callback_url)).toEqual(
      Array(2).fill(`https://127.0.0.1:${agent.port}`),
    );
  }, 60_000);

  test("11.55 and contract 10.15, 10.17: heartbeats come after 0.3 to 0.6 of heartbeat_timeout", async () => {
    await using ironic = scriptedIronic({ answer: ironicThat(() => found({ heartbeat_timeout: 3 })) });
    await using agent = await startAgentProcess("--api_url", ironic.url);
    await heartbeat(agent, ironic);
    const beats = () => ironic.received.filter(isHeartbeat);
    while (beats().length < 6) await Bun.sleep(20);
    const gaps = beats()
      .slice(1)
      .map((beat, index) => seconds(beats()[index], beat));
    // Up to the clocks. On a loaded machine the latest may be later still, the earliest of five hardly.
    expect(Math.min(...gaps)).toBeWithin(0.85, 2.5);
  }, 60_000);

  test("11.59: an IPv6 address is bracketed, and the port is the advertised one", async () => {
    await using ironic = scriptedIronic({ answer: ironicThat() });
    const options = ["--api_url", ironic.url, "--advertise_port", "4711"];
    await using agent = await spawnAgentProcess({ advertised: "::1" }, ...options);
    expect((await heartbeat(agent, ironic)).body.callback_url).toBe("https://[::1]:4711");
  }, 60_000);

  test("11.60: the address of network_interface is the advertised one", async () => {
    await using ironic = scriptedIronic({ answer: ironicThat() });
    const options = ["--api_url", ironic.url, "--network_interface", "lo"];
    await using agent = await spawnAgentProcess({ advertised: null }, ...options);
    expect((await heartbeat(agent, ironic)).body.callback_url).toBe(`https://127.0.0.1:${agent.port}`);
  }, 60_000);

  test("11.61: an authority that is not known is not believed, unless insecure says so", async () => {
    await using tls = await selfSigned("127.0.0.1");
    await using ironic = scriptedIronic({ tls, answer: ironicThat() });
    await using wary = await startAgentProcess("--api_url", ironic.url, "--lookup_timeout", "1");
    expect(await wary.exited).toBe(1);
    expect(ironic.received).toEqual([]);
    await using trusting = await startAgentProcess("--api_url", ironic.url, "--insecure");
    await heartbeat(trusting, ironic);
  }, 60_000);

  test("11.61: a client certificate is shown", async () => {
    await using tls = await selfSigned("127.0.0.1");
    await using own = await selfSigned("127.0.0.2");
    await using ironic = scriptedIronic({ tls, clientCa: own.cert, answer: ironicThat() });
    const options = ["--api_url", ironic.url, "--cafile", tls.certFile];
    await using nobody = await startAgentProcess(...options, "--lookup_timeout", "1");
    expect(await nobody.exited).toBe(1);
    expect(ironic.received).toEqual([]);
    await using agent = await startAgentProcess(
      ...options,
      "--certfile",
      own.certFile,
      "--keyfile",
      own.keyFile,
    );
    await heartbeat(agent, ironic);
  }, 60_000);

  test("11.62: with the first of two URLs dead the second is used, and first from then on", async () => {
    await using dead = scriptedIronic({ answer: ironicThat() });
    const url = dead.url;
    await dead[Symbol.asyncDispose]();
    await using ironic = scriptedIronic({ answer: ironicThat() });
    await using agent = await startAgentProcess("--api_url", `${url},${ironic.url}`);
    await heartbeat(agent, ironic);
    expect(ironic.received.map(({ path }) => path.split("?")[0])).toEqual([
      "/",
      "/v1/lookup",
      `/v1/heartbeat/${UUID}`,
    ]);
    const complaints = agent
      .log()
      .split("\n")
      .filter((line) => line.includes(` ${url}`) && line.includes("WARNING"));
    expect(complaints.length).toBeLessThanOrEqual(1);
  }, 60_000);

  test.each([
    ["t".repeat(31), [], undefined],
    ["t".repeat(32), [], "t".repeat(32)],
    ["******", ["--agent_token", TOKEN], TOKEN],
  ] as const)(
    "11.63 and contract 10.8, 10.9: of the token %j",
    async (given, options, used) => {
      await using ironic = scriptedIronic({
        answer: ironicThat(() => found({ agent_token: given, agent_token_required: false })),
      });
      await using agent = await startAgentProcess("--api_url", ironic.url, ...options);
      const { body } = await heartbeat(agent, ironic);
      expect(body.agent_token ?? undefined).toBe(used);
      const command = (token: string) =>
        fetch(`${body.callback_url}/v1/commands/?agent_token=${token}`, {
          method: "POST",
          body: JSON.stringify({ name: "standby.get_partition_uuids", params: {} }),
          tls: { ca: body.agent_verify_ca },
        });
      expect((await command(given)).status).toBe(given === used ? 200 : 401);
      if (used !== undefined) expect((await command(used)).status).toBe(200);
    },
    60_000,
  );

  test("contract 10.7: what is not known in an answer, or is nonsense, does not fail the lookup", async () => {
    const config = {
      agent_containers: { foo: 1, runner: "qemu", allowed_containers: "x" },
      metrics: { backend: null, prepend_uuid: true },
      metrics_statsd: null,
      permitted_image_formats: null,
      tls_min_version: "9",
      something: {},
    };
    await using ironic = scriptedIronic({ answer: ironicThat(() => found(config)) });
    await using agent = await startAgentProcess("--api_url", ironic.url);
    await heartbeat(agent, ironic);
  }, 60_000);

  test("11.64 and 11.97: statsd as the lookup says, in milliseconds", async () => {
    const texts: string[] = [];
    const statsd = await Bun.udpSocket({
      hostname: "127.0.0.1",
      socket: { data: (_, datagram) => void texts.push(datagram.toString()) },
    });
    const config = {
      metrics: { backend: "statsd", prepend_host: false, global_prefix: "gp" },
      metrics_statsd: { statsd_host: "127.0.0.1", statsd_port: statsd.port },
    };
    await using ironic = scriptedIronic({ answer: ironicThat(() => found(config)) });
    await using agent = await startAgentProcess("--api_url", ironic.url);
    const { body } = await heartbeat(agent, ironic);
    await fetch(`${body.callback_url}/v1/status`, { tls: { ca: body.agent_verify_ca } });
    const isStatus = (text: string) => text.includes("get_status");
    while (!texts.some(isStatus)) await Bun.sleep(5);
    statsd.close();
    expect(texts.find(isStatus)).toMatch(
      /^gp\.ironic_python_agent\.api\.app\.get_status:\d+(\.\d+)?(e-\d+)?\|ms$/,
    );
  }, 60_000);
});
