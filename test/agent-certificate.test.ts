// An agent that waits for months, as a node with fast track does: its certificate changes, and what Ironic was told at the first
// heartbeat stays true (issue 4, Deliver 4; conductor-contract 10.59).

import { expect, test } from "bun:test";
import { connect } from "node:tls";
import { Agent } from "../src/agent.ts";
import { Config } from "../src/config/config.ts";
import { realHttpListener } from "../src/system/http-server.ts";
import { ManualClock } from "./support/manual-clock.ts";
import { loopbackOptions, testMachine, testManager } from "./support/test-machine.ts";

const MAC = "52:54:00:aa:00:09";
const TOKEN = "gnhF7yzJ0T9nPDGJfl7XcLyvY6dPxvCUuDcZc7U2N-I";
const DAY = 24 * 3600;

test("the certificate is renewed under what was announced, and a command being waited for is not disturbed", async () => {
  const announced: string[] = [];
  const ironic = await realHttpListener({
    host: "127.0.0.1",
    port: 0,
    tls: null,
    maxRequestBody: 1e6,
    async handle(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/") return Response.json({ default_version: { id: "v1", version: "1.82" } });
      if (pathname === "/v1/lookup")
        return Response.json({
          node: { uuid: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123" },
          // So long that the months do not fill with heartbeats.
          config: { heartbeat_timeout: 40 * DAY, agent_token: TOKEN, agent_token_required: true },
        });
      announced.push(((await request.json()) as { agent_verify_ca: string }).agent_verify_ca);
      return new Response(null, { status: 202 });
    },
  });
  const go = Promise.withResolvers<void>();
  const manager = testManager(MAC, () => ({
    clean: [
      {
        step: "slow",
        priority: 0,
        interface: "deploy",
        reboot_requested: false,
        run: () => go.promise.then(() => "done"),
      },
    ],
  }));
  const clock = new AheadClock();
  const loopback = await loopbackOptions();
  const config = Config.of({
    ...loopback,
    api_url: `http://127.0.0.1:${ironic.port}`,
    // Certificates of the agent's future have to be valid today.
    auto_tls_allowed_clock_skew: 100 * DAY,
  });
  const agent = new Agent({ ...testMachine(), clock }, config, [manager]);
  const ended = agent.run();
  while (announced.length === 0) await clock.advance(1);
  const [ca = ""] = announced;
  const url = `https://127.0.0.1:${loopback.listen_port}/v1/commands/?wait=true&agent_token=${TOKEN}`;

  const params = { step: { step: "slow" }, node: {}, ports: [] };
  const waiting = fetch(url, {
    method: "POST",
    body: JSON.stringify({ name: "clean.execute_clean_step", params }),
    tls: { ca },
  });
  let commands = 0;
  while (commands === 0) {
    const answer = await fetch(url, { tls: { ca } });
    commands = ((await answer.json()) as { commands: unknown[] }).commands.length;
  }
  await clock.advance(1); // the command's work begins
  const serials = [await serial(loopback.listen_port, ca)];
  for (let month = 0; month < 3; month++) {
    await clock.advance(16 * DAY);
    // Making a certificate takes real time, which this clock knows nothing of.
    for (;;) {
      const now = await serial(loopback.listen_port, ca);
      if (now !== serials.at(-1)) {
        serials.push(now);
        break;
      }
      await Bun.sleep(5);
    }
  }
  expect(new Set(serials).size).toBe(4);
  go.resolve();
  const result = (await (await waiting).json()) as { command_status: string };
  expect(result.command_status).toBe("SUCCEEDED");
  expect(announced.length).toBeGreaterThan(1);
  expect(new Set(announced).size).toBe(1);
  agent.stop();
  expect(await ended).toBe(0);
  await ironic.stop(0);
}, 30_000);

/** Whoever verifies goes by the real time; the agent's moves on from there. */
class AheadClock extends ManualClock {
  override now(): number {
    return Date.now() / 1000 + this.monotonic();
  }
}

/** Serial number of the certificate that is served; rejects unless `ca` verifies it. */
function serial(port: number, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, ca }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}
