// The executable itself, as it goes into a ramdisk: lookup, automatic TLS, heartbeat and commands over a real socket. It
// only looks at the machine it runs on: no step is executed, and no option of the host guard is given.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { AGENT_VERSION } from "../src/version.ts";
import { EmbeddedConductor } from "./kit/conductor.ts";
import type { PowerControl } from "./kit/power.ts";
import { freePort } from "./support/test-machine.ts";

const BINARY = `${import.meta.dir}/../dist/ironic-python-agent-linux-${process.arch}`;

const noPower: PowerControl = { on: async () => {}, off: async () => {}, state: async () => "power on" };

let home: string;
beforeAll(async () => {
  if (!existsSync(BINARY))
    throw new Error(`${BINARY} is missing: run "bun run build.ts" first, or "npm test"`);
  home = await mkdtemp(`${tmpdir()}/binary-`);
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** Hardware addresses of this machine's cards, by which the agent is looked up. */
async function macs(): Promise<[string, ...string[]]> {
  const names = await readdir("/sys/class/net");
  const cards = names.filter((name) => existsSync(`/sys/class/net/${name}/device`));
  const found = await Promise.all(cards.map((name) => readFile(`/sys/class/net/${name}/address`, "utf8")));
  const [first, ...more] = found.map((mac) => mac.trim());
  if (first === undefined) throw new Error("this machine has no network card to be looked up by");
  return [first, ...more];
}

test("the executable looks itself up, serves TLS with the certificate it announced, and obeys its token", async () => {
  await using conductor = EmbeddedConductor.start();
  const node = conductor.enrol({ uuid: "6d1d8b1c-1c71-4a5b-9d0e-0a3f5d4e2c11", macs: await macs() }, noPower);
  node.provisionState = "cleaning"; // a state in which heartbeats are stored and nothing is asked of the agent
  const heartbeat = Promise.withResolvers<{ callbackUrl: string; agentVerifyCa: string | null }>();
  conductor.observe((event) => {
    if (event.type === "heartbeat") heartbeat.resolve(event);
  });
  const port = String(await freePort());
  const agent = Bun.spawn(
    [
      BINARY,
      "--api_url",
      conductor.url,
      "--debug",
      "--listen_host",
      "127.0.0.1",
      "--listen_port",
      port,
    ].concat(["--advertise_host", "127.0.0.1", "--advertise_port", port]),
    {
      env: { PATH: process.env.PATH, HOME: home },
      cwd: home,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    },
  );
  const log = new Response(agent.stdout).text();
  try {
    const { callbackUrl, agentVerifyCa } = await heartbeat.promise;
    expect(callbackUrl).toBe(`https://127.0.0.1:${port}`);
    const tls = { ca: agentVerifyCa ?? "", rejectUnauthorized: true };

    const status = await fetch(`${callbackUrl}/v1/status`, { tls });
    expect(await status.json()).toMatchObject({ version: AGENT_VERSION });

    const post = (query: string) =>
      fetch(`${callbackUrl}/v1/commands/?wait=true${query}`, {
        method: "POST",
        body: JSON.stringify({
          name: "deploy.get_deploy_steps",
          params: { node: { uuid: node.uuid }, ports: [] },
        }),
        tls,
      });
    expect((await post("")).status).toBe(401);
    const answer = await post(`&agent_token=${node.token}`);
    expect(await answer.json()).toMatchObject({
      command_name: "get_deploy_steps",
      command_status: "SUCCEEDED",
      command_result: { hardware_manager_version: { generic_hardware_manager: "1.2" } },
    });
  } finally {
    agent.kill("SIGTERM");
  }
  expect(await agent.exited).toBe(0);
  expect(node.token).toMatch(/^\S{43}$/);
  expect(await log).toContain("/v1/commands/");
  expect(await log).not.toContain(node.token ?? "");
}, 30_000);
