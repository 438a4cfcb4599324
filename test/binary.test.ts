// The executable itself, as it goes into a ramdisk: lookup, automatic TLS, heartbeat and a command over a real socket; and what it
// does when the whole world connects. It only looks at the machine it runs on: no step is executed, and no option of the host guard
// is given.

import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { AGENT_VERSION } from "../src/version.ts";
import { EmbeddedConductor } from "./kit/conductor.ts";
import type { PowerControl } from "./kit/power.ts";
import { BINARY, machineMacs, startAgentProcess } from "./support/agent-process.ts";

const noPower: PowerControl = { on: async () => {}, off: async () => {}, state: async () => "power on" };
const UUID = "6d1d8b1c-1c71-4a5b-9d0e-0a3f5d4e2c11";

test("the executable looks itself up, serves TLS with the certificate it announced, and obeys its token", async () => {
  await using conductor = EmbeddedConductor.start();
  const node = conductor.enrol({ uuid: UUID, macs: await machineMacs() }, noPower);
  node.provisionState = "cleaning"; // a state in which heartbeats are stored and nothing is asked of the agent
  const heartbeat = Promise.withResolvers<{ callbackUrl: string; agentVerifyCa: string | null }>();
  conductor.observe((event) => {
    if (event.type === "heartbeat") heartbeat.resolve(event);
  });
  await using agent = await startAgentProcess("--api_url", conductor.url);
  const { callbackUrl, agentVerifyCa } = await heartbeat.promise;
  expect(callbackUrl).toBe(`https://127.0.0.1:${agent.port}`);
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

  expect(await agent.stop()).toBe(0);
  expect(node.token).toMatch(/^\S{43}$/);
  expect(agent.log()).toContain("/v1/commands/");
  expect(agent.log()).not.toContain(node.token ?? "");
}, 30_000);

// deploy 11.78: what runs programs of an image whose root is a logical volume.
test("the executable becomes another program, whose system calls are filtered", async () => {
  const look = "grep -E 'SigIgn|NoNewPrivs|Seccomp:' /proc/self/status; unshare --mount true || echo refused";
  const child = Bun.spawn([BINARY, "restrained-exec", "sh", "-c", look], {
    stdout: "pipe",
    stderr: "ignore",
  });
  expect((await child.stdout.text()).replace(/\s+/g, " ")).toBe(
    "SigIgn: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 refused ",
  );
  expect(await child.exited).toBe(0);
}, 30_000);

/** Opens connections to the port in the first argument, as many as the second says, and holds them; prints how many it has. */
const CROWD = `
const [port, count] = process.argv.slice(1).map(Number);
let [open, closed] = [0, 0];
const sockets = [];
for (let i = 0; i < count; i++) {
  sockets.push(await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      // Some say nothing, some begin something that is no handshake and leave it.
      open(socket) { open++; if (i % 3 === 0) socket.write("\\x16\\x03\\x01"); },
      data() {},
      close() { closed++; },
    },
  }));
}
console.log(open - closed);
await new Promise(() => {});
`;

test("ten thousand connections that want nothing keep the agent neither from heartbeating nor from answering", async () => {
  await using conductor = EmbeddedConductor.start({ settings: { heartbeatTimeout: 3 } });
  const node = conductor.enrol({ uuid: UUID, macs: await machineMacs() }, noPower);
  node.provisionState = "cleaning";
  let heartbeats = 0;
  const first = Promise.withResolvers<{ callbackUrl: string; agentVerifyCa: string | null }>();
  conductor.observe((event) => {
    if (event.type !== "heartbeat") return;
    heartbeats++;
    first.resolve(event);
  });
  await using agent = await startAgentProcess("--api_url", conductor.url);
  const { callbackUrl, agentVerifyCa } = await first.promise;
  const size = await crowdSize();
  const crowd = Bun.spawn([process.execPath, "-e", CROWD, String(agent.port), String(size)], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  try {
    const { value } = await crowd.stdout.getReader().read();
    expect(Number(new TextDecoder().decode(value))).toBe(size);
    const before = heartbeats;
    while (heartbeats < before + 3) await Bun.sleep(50);
    const status = await fetch(`${callbackUrl}/v1/status`, { tls: { ca: agentVerifyCa ?? "" } });
    expect(status.status).toBe(200);
  } finally {
    crowd.kill();
    await crowd.exited;
  }
  expect(await agent.stop()).toBe(0);
}, 60_000);

/** As many as the machine lets a process have files, but for those that processes need themselves. */
async function crowdSize(): Promise<number> {
  const [, limit] = /^Max open files +\d+ +(\d+)/m.exec(await readFile("/proc/self/limits", "utf8")) ?? [];
  return Math.min(10_000, Number(limit) - 500);
}
