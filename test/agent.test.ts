// Whole agents against a real HTTP server that plays Ironic, over real TLS.

import { afterEach, describe, expect, test } from "bun:test";
import type { JsonObject } from "../src/json.ts";
import type { Step, StepContext } from "../src/steps/step.ts";
import { AGENT_VERSION } from "../src/version.ts";
import {
  accepted,
  agentRig,
  isRefused,
  logged,
  MAC,
  messages,
  post,
  served,
  TOKEN,
  UUID,
} from "./support/agent-rig.ts";
import { selfSigned } from "./support/certificate.ts";
import { ManualClock } from "./support/manual-clock.ts";
import type { RecordedSystem } from "./support/recorded-system.ts";
import { thrower } from "./support/rejection.ts";
import { testMachine, testManager } from "./support/test-machine.ts";

const { startIronic, startAgent, cleanUp } = agentRig();
afterEach(cleanUp);

function step(name: string, run: (context: StepContext) => Promise<null>): Step {
  return { step: name, priority: 0, interface: "deploy", reboot_requested: false, run };
}

const executeStep = (name: string) => ({
  step: { step: name, interface: "deploy" },
  node: { uuid: UUID },
  ports: [],
  deploy_version: null,
});

describe("an agent with an Ironic", () => {
  // control-plane 11.54, 11.66; contract 10.1, 10.10, 10.11, 10.59
  test("finds its node, serves over TLS and is commanded with the certificate and the token it sent", async () => {
    await using authority = await selfSigned("127.0.0.1");
    const status = Promise.withResolvers<JsonObject>();
    const { ironic, url } = await startIronic(
      {
        // Ironic connects back before it answers: the port must be open by now.
        onHeartbeat: async ({ callback_url, agent_verify_ca }) => {
          const answer = await fetch(`${callback_url}/v1/status`, { tls: { ca: agent_verify_ca! } });
          status.resolve((await answer.json()) as JsonObject);
        },
      },
      { cert: authority.cert, key: authority.key },
    );
    const system = testMachine({ files: { "/ca.pem": authority.cert } });
    const running = await startAgent({ api_url: url, cafile: "/ca.pem" }, { system });
    await ironic.heard(1);

    expect(ironic.requests).toEqual(["GET /", "GET /v1/lookup", `POST /v1/heartbeat/${UUID}`]);
    const { callback_url, agent_token, agent_version, agent_verify_ca } = ironic.heartbeats[0]!;
    expect(callback_url).toBe(`https://127.0.0.1:${running.port}`);
    expect([agent_token, agent_version]).toEqual([TOKEN, AGENT_VERSION]);
    expect(await status.promise).toMatchObject({ version: AGENT_VERSION });

    const commands = `${callback_url}/v1/commands/`;
    const steps: [string, JsonObject] = ["deploy.get_deploy_steps", { node: { uuid: UUID }, ports: [] }];
    expect((await post(commands, ...steps, agent_verify_ca)).status).toBe(401);
    expect((await post(`${commands}?agent_token=wrong`, ...steps, agent_verify_ca)).status).toBe(401);
    const answer = await post(`${commands}?agent_token=${TOKEN}`, ...steps, agent_verify_ca);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({
      command_name: "get_deploy_steps",
      command_status: "SUCCEEDED",
    });
    expect(await thrower(fetch(`${callback_url}/v1/status`))).toThrow();

    running.agent.stop();
    expect(await running.ended).toBe(0);
    expect(await isRefused(running.port)).toBe(true);
    expect(JSON.stringify(running.system.records)).not.toContain(TOKEN);
  });

  // control-plane 11.67; contract 10.12, 10.60
  test("serves plain HTTP and sends no certificate to an Ironic that knows none", async () => {
    const { ironic, url } = await startIronic({ version: "1.67" });
    const running = await startAgent({ api_url: url });
    await ironic.heard(1);
    expect(ironic.heartbeats[0]!.callback_url).toBe(`http://127.0.0.1:${running.port}`);
    expect(ironic.heartbeats[0]).not.toHaveProperty("agent_verify_ca");
    expect(messages(running, "WARNING").join()).toContain("does not support automated TLS");
  });

  // control-plane 11.56; contract 10.13, 10.16
  test("tells Ironic when an asynchronous command has ended, long before the next regular heartbeat", async () => {
    const { ironic, url } = await startIronic({ heartbeatTimeout: 1_000_000 });
    await startAgent(
      { api_url: url, enable_auto_tls: false },
      {
        system: testMachine({ hurry: 50 }),
        manager: testManager(MAC, () => ({ deploy: [step("quick", async () => null)] })),
      },
    );
    await ironic.heard(1);
    const commands = `${ironic.heartbeats[0]!.callback_url}/v1/commands/?agent_token=${TOKEN}`;
    const answer = await post(commands, "deploy.execute_deploy_step", executeStep("quick"));
    expect(await answer.json()).toMatchObject({ command_status: "RUNNING" });
    await ironic.heard(2);
    expect(ironic.heartbeats[1]).toEqual(ironic.heartbeats[0]!);
  });

  // contract 10.16
  test("repeats a forced heartbeat until a request of the conductor, not of just anybody, follows it", async () => {
    const clock = new ManualClock();
    const { ironic, url } = await startIronic({ heartbeatTimeout: 1_000_000 });
    let begun = 0;
    const machine = testMachine();
    const system: RecordedSystem = {
      ...machine,
      clock,
      http: (request) => {
        if (request.url.includes("/v1/heartbeat/")) begun++;
        return machine.http(request);
      },
    };
    const manager = testManager(MAC, () => ({ deploy: [step("quick", async () => null)] }));
    const running = await startAgent({ api_url: url, enable_auto_tls: false }, { system, manager });
    await accepted(running, 1);
    const commands = `${ironic.heartbeats[0]!.callback_url}/v1/commands/`;
    await post(`${commands}?agent_token=${TOKEN}`, "deploy.execute_deploy_step", executeStep("quick"));
    await clock.advance(6);
    await accepted(running, 2);

    expect((await post(commands, "deploy.execute_deploy_step", executeStep("quick"))).status).toBe(401);
    expect((await fetch(`${commands}?agent_token=wrong`)).status).toBe(401);
    await clock.advance(6);
    await accepted(running, 3);

    expect((await fetch(`${commands}?agent_token=${TOKEN}`)).status).toBe(200);
    await clock.advance(60);
    expect(begun).toBe(3);
  });

  // control-plane 5.7; contract 10.8
  test("refreshes its node from Ironic by UUID and keeps its token when that answer masks it", async () => {
    const { ironic, url } = await startIronic();
    const refreshed = Promise.withResolvers<unknown>();
    const manager = testManager(MAC, ({ node }) => ({
      deploy: [
        step("refresh", async () => {
          await node.refresh();
          refreshed.resolve(node.current);
          return null;
        }),
      ],
    }));
    await startAgent({ api_url: url, enable_auto_tls: false }, { manager });
    await ironic.heard(1);
    const commands = `${ironic.heartbeats[0]!.callback_url}/v1/commands/?agent_token=${TOKEN}`;
    await post(commands, "deploy.execute_deploy_step", executeStep("refresh"));
    expect(await refreshed.promise).toMatchObject({ uuid: UUID, asked: ironic.requests.length });
    expect((await post(commands, "nosuch.command")).status).not.toBe(401);
  });

  // control-plane 11.59: Ironic may reach it by another port than the one it listens on.
  test("is given advertise_port in the callback URL", async () => {
    const { ironic, url } = await startIronic();
    await startAgent({ api_url: url, enable_auto_tls: false, advertise_port: 19999 });
    await ironic.heard(1);
    expect(ironic.heartbeats[0]!.callback_url).toBe("http://127.0.0.1:19999");
  });

  // control-plane 11.62: and no address is taken from a URL where nobody answers.
  test("at the second of two URLs is found there and from then on asked first", async () => {
    const { ironic, url } = await startIronic();
    const running = await startAgent({ api_url: `http://127.0.0.1:1,${url}`, enable_auto_tls: false });
    await ironic.heard(1);
    expect(ironic.requests.filter((request) => request !== "GET /")).toEqual([
      "GET /v1/lookup",
      `POST /v1/heartbeat/${UUID}`,
    ]);
    const unreachable = messages(running, "WARNING").filter((text) => text.includes("http://127.0.0.1:1"));
    // By the first request, and when reachable URLs are asked for.
    expect(unreachable.length).toBe(2);
  });

  // contract 10.9
  test("with a token given in advance keeps that one", async () => {
    const given = "a-token-from-the-virtual-media-of-this-boot";
    const { ironic, url } = await startIronic({ token: "******" });
    await startAgent({ api_url: url, agent_token: given });
    await ironic.heard(1);
    expect(ironic.heartbeats[0]!.agent_token).toBe(given);
  });

  // contract 10.8
  test("with a token given in advance that is too short says so", async () => {
    const { ironic, url } = await startIronic({ token: TOKEN });
    const running = await startAgent({ api_url: url, agent_token: "xyzzy" });
    await ironic.heard(1);
    expect(messages(running, "WARNING").join()).toContain("agent_token has 5 characters");
    expect(ironic.heartbeats[0]!.agent_token).toBe(TOKEN);
  });

  test("of a release without tokens heartbeats without one, and says that the agent cannot be commanded", async () => {
    const { ironic, url } = await startIronic({ version: "1.61", token: null, tokenRequired: undefined });
    const running = await startAgent({ api_url: url });
    await ironic.heard(1);
    expect(ironic.heartbeats[0]).not.toHaveProperty("agent_token");
    expect(messages(running, "ERROR")).toEqual([expect.stringContaining("cannot be commanded")]);
    const commands = `${ironic.heartbeats[0]!.callback_url}/v1/commands/`;
    expect((await post(commands, "deploy.get_deploy_steps")).status).toBe(401);
  });

  // contract 2.7 and 9 (Train): an explicit opt-in.
  test("of a release without tokens can command it if an operator lets it", async () => {
    const { ironic, url } = await startIronic({ version: "1.58", token: null, tokenRequired: undefined });
    const running = await startAgent({ api_url: url, commands_without_token: true });
    await ironic.heard(1);
    expect(messages(running, "ERROR")).toEqual([]);
    expect(messages(running, "WARNING").join()).toContain("anybody who reaches this agent");
    const commands = `${ironic.heartbeats[0]!.callback_url}/v1/commands/`;
    const params = { node: { uuid: UUID }, ports: [] };
    expect((await post(commands, "deploy.get_deploy_steps", params)).status).toBe(200);
    expect((await post(`${commands}?agent_token=anything`, "deploy.get_deploy_steps", params)).status).toBe(
      401,
    );
  });

  // contract 10.67: no wrong token is adopted, the operator is told, and there is no storm of lookups.
  test.each([true, undefined])(
    "that has lost its token (required: %p) says what happened, serves nothing and does not loop",
    async (tokenRequired) => {
      const { ironic, url } = await startIronic({ token: "******", tokenRequired });
      const running = await startAgent({ api_url: url }, { system: testMachine({ hurry: 100 }) });
      while (messages(running, "ERROR").length === 0) await Bun.sleep(2);
      expect(messages(running, "ERROR")[0]).toContain(`the token for node ${UUID}`);
      expect(messages(running, "ERROR")[0]).toContain("reboot the machine through Ironic");
      await Bun.sleep(50);
      expect(running.agent.port).toBeNull();
      expect(await isRefused(running.port)).toBe(true);
      expect(ironic.requests).toEqual(["GET /", "GET /v1/lookup"]);
      running.agent.stop();
      expect(await running.ended).toBe(0);
    },
  );

  // DEV-30, and what an operator at a terminal needs
  test.each([
    [true, 0],
    [false, 1],
  ])(
    "that has lost its token takes the network down, unless started by hand (by hand: %p)",
    async (interactive, downs) => {
      const { url } = await startIronic({ token: "******" });
      const system = testMachine({
        hurry: 100,
        interactive,
        files: {
          "/proc/cmdline": "ipa-debug=1\n",
          "/proc/self/mountinfo": "1 1 0:2 / / rw - rootfs rootfs rw\n",
          "/proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n",
        },
        programs: { ip: {} },
      });
      const running = await startAgent({ api_url: url }, { system });
      const done = interactive ? "started from a terminal" : "locked down";
      while (!system.records.some(({ message }) => message.includes(done))) await Bun.sleep(2);
      expect(system.calls.filter((argv) => argv.includes("down"))).toHaveLength(downs);
      running.agent.stop();
      expect(await running.ended).toBe(0);
    },
  );

  test("whose answer to the lookup takes longer than other requests may take is waited for, as it brings the token", async () => {
    const limits: Record<string, number> = {};
    const machine = testMachine();
    const system: RecordedSystem = {
      ...machine,
      http: (request) => {
        limits[new URL(request.url).pathname.split("/").slice(0, 3).join("/")] = request.timeout;
        return machine.http(request);
      },
    };
    const { ironic, url } = await startIronic();
    await startAgent({ api_url: url, enable_auto_tls: false, http_request_timeout: 7 }, { system });
    await ironic.heard(1);
    expect(limits).toEqual({ "/": 7, "/v1/lookup": 300, "/v1/heartbeat": 7 });

    await startAgent(
      { api_url: url, enable_auto_tls: false, agent_token: TOKEN, http_request_timeout: 7 },
      { system },
    );
    await ironic.heard(2);
    expect(limits["/v1/lookup"]).toBe(7);
  });

  // control-plane 11.17; contract 10.6
  test("that never knows the machine ends with 1 after lookup_timeout", async () => {
    const { ironic, url } = await startIronic({ lookupStatus: 404 });
    const running = await startAgent(
      { api_url: url, lookup_timeout: 50 },
      { system: testMachine({ hurry: 50 }) },
    );
    expect(await running.ended).toBe(1);
    expect(ironic.requests.length).toBeGreaterThan(2);
    expect(messages(running, "ERROR")[0]).toContain("Could not look up node info");
  });

  // DEV-1
  test("that it cannot be reached from ends with 1", async () => {
    const { url } = await startIronic();
    const system = testMachine({ hurry: 1000, programs: { "ip route get 127.0.0.1": { exitCode: 2 } } });
    const running = await startAgent({ api_url: url }, { system });
    expect(await running.ended).toBe(1);
    expect(messages(running, "ERROR")[0]).toContain("advertise_host");
  });

  test("can be stopped while it still looks for its node", async () => {
    const { ironic, url } = await startIronic({ lookupStatus: 404 });
    const running = await startAgent({ api_url: url });
    while (ironic.requests.length < 2) await Bun.sleep(2);
    running.agent.stop();
    expect(await running.ended).toBe(0);
  });
});

describe("an agent that loses its Ironic during a step", () => {
  /** An agent in the middle of a step, in a time that only the test moves on: regular heartbeats are due every 300 s. */
  async function duringStep() {
    const clock = new ManualClock();
    const { ironic, url } = await startIronic({ heartbeatTimeout: 1000 });
    const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<null>()];
    const long = step("long", () => {
      begun.resolve();
      return end.promise;
    });
    const running = await startAgent(
      { api_url: url, enable_auto_tls: false },
      { system: { ...testMachine(), clock }, manager: testManager(MAC, () => ({ deploy: [long] })) },
    );
    await accepted(running, 1);
    const api = `http://127.0.0.1:${running.port}/v1/commands/`;
    const query = `?agent_token=${TOKEN}`;
    const answer = await post(api + query, "deploy.execute_deploy_step", executeStep("long"));
    const { id, command_status } = (await answer.json()) as { id: string; command_status: string };
    expect(command_status).toBe("RUNNING");
    await clock.advance(1);
    await begun.promise;
    return {
      clock,
      ironic,
      running,
      finish: () => end.resolve(null),
      result: async (wait = "") => (await fetch(`${api}${id}${query}${wait}`)).json(),
    };
  }

  const succeeded = { command_name: "execute_deploy_step", command_status: "SUCCEEDED" };

  // contract 10.17, and no result is lost
  test("finishes it, keeps the result, and tells Ironic once that is back", async () => {
    const { clock, ironic, running, finish, result } = await duringStep();
    await ironic.stop();
    finish();
    expect(await result("&wait=true")).toMatchObject(succeeded);
    await clock.advance(6);
    await logged(running, "ERROR", "Heartbeat failed", 1);
    await ironic.listen();
    await clock.advance(6);
    await accepted(running, 2);
    expect(ironic.heartbeats[1]).toEqual(ironic.heartbeats[0]!);
    expect(await result()).toMatchObject(succeeded);
  });

  test("goes on with it when Ironic comes back before its end, and forces a heartbeat then as ever", async () => {
    const { clock, ironic, running, finish, result } = await duringStep();
    await ironic.stop();
    await clock.advance(300);
    await logged(running, "ERROR", "Heartbeat failed", 1);
    await ironic.listen();
    await clock.advance(6);
    await accepted(running, 2);
    expect(await result()).toMatchObject({ command_status: "RUNNING" });
    finish();
    expect(await result("&wait=true")).toMatchObject(succeeded);
    await clock.advance(6);
    await accepted(running, 3);
    expect(ironic.heartbeats[2]).toEqual(ironic.heartbeats[0]!);
  });
});

describe("an agent without an Ironic", () => {
  test("standalone: serves, takes commands without a token, is told its node, and calls nobody", async () => {
    const { ironic, url } = await startIronic();
    const running = await startAgent({ standalone: true, api_url: url, enable_auto_tls: false });
    await served(running);
    const commands = `http://127.0.0.1:${running.port}/v1/commands/`;
    const info = {
      node: { uuid: UUID },
      config: { heartbeat_timeout: 300, agent_md5_checksum_enable: false },
    };
    const told = await post(commands, "poll.set_node_info", { node_info: info });
    expect(await told.json()).toMatchObject({ command_status: "SUCCEEDED" });
    const refused = await post(commands, "poll.set_node_info", { node_info: { node: {} } });
    expect([refused.status, await refused.text()]).toEqual([
      400,
      expect.stringContaining("no node with a UUID"),
    ]);
    expect(messages(running, "ERROR")).toEqual([]);
    expect(ironic.requests).toEqual([]);
  });

  // control-plane 1.2: the reference's quirk. Whoever runs it like that reaches it by https.
  test("standalone with an API URL: asks that only for its version, and serves over TLS if it is new enough", async () => {
    const { ironic, url } = await startIronic();
    const running = await startAgent({ standalone: true, api_url: url });
    await served(running);
    const answer = await fetch(`https://127.0.0.1:${running.port}/v1/status`, {
      tls: { rejectUnauthorized: false },
    });
    expect(answer.status).toBe(200);
    expect(ironic.requests).toEqual(["GET /"]);

    const unreachable = await startAgent({ standalone: true, api_url: "http://127.0.0.1:1" });
    await served(unreachable);
    expect((await fetch(`http://127.0.0.1:${unreachable.port}/v1/status`)).status).toBe(200);
    expect(messages(unreachable, "WARNING").join()).toContain("cannot be asked about automatic TLS");
  });

  // control-plane 1.2, step 17.
  test("not standalone, but with somebody to send an inspection to: no error", async () => {
    await using inspector = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => Response.json({}) });
    const running = await startAgent({
      inspection_callback_url: `http://127.0.0.1:${inspector.port}/v1/continue`,
      inspection_collectors: ["pci-devices"],
    });
    await served(running);
    expect(messages(running, "ERROR").join()).not.toContain("No Ironic API URL");
    expect(messages(running, "INFO").join()).toContain("No Ironic API URL");
  });

  // control-plane 11.18
  test("not standalone: says so and serves", async () => {
    const running = await startAgent({});
    await served(running);
    expect(messages(running, "ERROR")[0]).toContain("api_url");
    expect((await fetch(`http://127.0.0.1:${running.port}/v1/status`)).status).toBe(200);
  });

  // control-plane 11.15, DEV-15
  test("a port that is taken ends it with 1 and is named", async () => {
    const first = await startAgent({ standalone: true });
    await served(first);
    const second = await startAgent({ standalone: true, listen_port: first.port });
    expect(await second.ended).toBe(1);
    expect(messages(second, "ERROR")[0]).toContain(String(first.port));
  });

  test("an unusable configuration file ends it with 1 and is named", async () => {
    const running = await startAgent({ standalone: true, listen_tls: true, tls_cert_file: "/missing.pem" });
    expect(await running.ended).toBe(1);
    expect(messages(running, "ERROR")[0]).toContain("/missing.pem");
  });

  // control-plane 11.16, DEV-3
  test("stopping aborts the command under way and answers who waits for it", async () => {
    const begun = Promise.withResolvers<void>();
    const endless = step("endless", ({ signal }) => {
      begun.resolve();
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    });
    const running = await startAgent(
      { standalone: true },
      { manager: testManager(MAC, () => ({ deploy: [endless] })) },
    );
    await served(running);
    const commands = `http://127.0.0.1:${running.port}/v1/commands/?wait=true`;
    const waiting = post(commands, "deploy.execute_deploy_step", executeStep("endless"));
    await begun.promise;
    running.agent.stop();
    expect(await running.ended).toBe(0);
    expect(await (await waiting).json()).toMatchObject({ command_status: "FAILED" });
  });

  test("a command that does not react is left behind", async () => {
    const begun = Promise.withResolvers<void>();
    const deaf = step("deaf", () => {
      begun.resolve();
      return new Promise(() => {});
    });
    const running = await startAgent(
      { standalone: true },
      { manager: testManager(MAC, () => ({ deploy: [deaf] })), system: testMachine({ hurry: 50 }) },
    );
    await served(running);
    await post(
      `http://127.0.0.1:${running.port}/v1/commands/`,
      "deploy.execute_deploy_step",
      executeStep("deaf"),
    );
    await begun.promise;
    running.agent.stop();
    expect(await running.ended).toBe(0);
    expect(messages(running, "WARNING").join()).toContain("Not everything ended");
  });
});

test("twenty agents live in one process and know nothing of each other", async () => {
  const agents = await Promise.all(Array.from({ length: 20 }, async () => startAgent({ standalone: true })));
  await Promise.all(agents.map(served));
  const [first, ...others] = agents;
  await post(`http://127.0.0.1:${first!.port}/v1/commands/`, "poll.get_hardware_info");
  const listed = await Promise.all(
    [first!, ...others].map(async ({ port }) => {
      const answer = await fetch(`http://127.0.0.1:${port}/v1/commands/`);
      return ((await answer.json()) as { commands: unknown[] }).commands.length;
    }),
  );
  expect(listed).toEqual([1, ...others.map(() => 0)]);
});
