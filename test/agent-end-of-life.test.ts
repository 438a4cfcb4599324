// How an agent goes away: rescue and lockdown end its API and its heartbeats, each in its own way, and only after the conductor has its
// answer. Whole agents with real sockets on a recorded machine, against an Ironic that is a function.

import { afterEach, describe, expect, test } from "bun:test";
import { Agent } from "../src/agent.ts";
import { Config } from "../src/config/config.ts";
import { type FakeIronic, fakeIronic } from "./ironic-client/fake-ironic.ts";
import type { RecordedFile, RecordedSystem } from "./support/recorded-system.ts";
import { loopbackOptions, testMachine, testManager } from "./support/test-machine.ts";

const UUID = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123";
const TOKEN = "gnhF7yzJ0T9nPDGJfl7XcLyvY6dPxvCUuDcZc7U2N-I";
const RAMDISK = { "/proc/self/mountinfo": "20 1 0:1 / / rw - rootfs rootfs rw\n" };
const ip = { "ip link set eth0 down": {} };

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type Running = {
  readonly agent: Agent;
  /** The exit code, or null while it runs. */
  exitCode: number | null;
  readonly ended: Promise<number>;
  readonly system: RecordedSystem;
  readonly ironic: FakeIronic;
  readonly url: string;
};

/** An agent with a heartbeat every second or so, unless something keeps it from getting that far. */
async function start(
  options: { token?: string; tls?: boolean; files?: Record<string, RecordedFile> } = {},
): Promise<Running> {
  const ironic = fakeIronic("1.82", ({ method }, path) => {
    if (method === "POST" && path === `/v1/heartbeat/${UUID}`) return { status: 202 };
    if (!path.startsWith("/v1/lookup")) return null;
    const config = { heartbeat_timeout: 1, agent_token: options.token ?? TOKEN, agent_token_required: true };
    return { status: 200, body: { node: { uuid: UUID }, config } };
  });
  const files = options.files ?? RAMDISK;
  const system = { ...testMachine({ files, programs: ip, hurry: 20 }), http: ironic.http };
  const { listen_port, ...listen } = await loopbackOptions();
  const config = Config.of({
    ...listen,
    listen_port,
    api_url: "http://127.0.0.1:6385",
    enable_auto_tls: options.tls ?? false,
  });
  const agent = new Agent(system, config, [testManager("52:54:00:aa:00:01")]);
  const ended = agent.run();
  cleanups.push(() => {
    agent.stop();
    return ended;
  });
  const url = `${options.tls ? "https" : "http"}://127.0.0.1:${listen_port}`;
  const running: Running = { agent, exitCode: null, ended, system, ironic, url };
  void ended.then((code) => {
    running.exitCode = code;
  });
  return running;
}

const heartbeats = ({ ironic }: Running) => ironic.requests.filter(({ method }) => method === "POST").length;
const downed = ({ system }: Running) =>
  system.calls.filter(([program, ...rest]) => program === "ip" && rest.includes("down"));
const log = ({ system }: Running) => system.records.map(({ message }) => message).join("\n");

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(2);
}

async function isRefused(url: string): Promise<boolean> {
  return fetch(`${url}/v1/status`, { tls: { rejectUnauthorized: false } }).then(
    () => false,
    () => true,
  );
}

async function command(running: Running, name: string, params: object = {}): Promise<unknown> {
  const response = await fetch(`${running.url}/v1/commands/?wait=false&agent_token=${TOKEN}`, {
    method: "POST",
    body: JSON.stringify({ name, params }),
    tls: { rejectUnauthorized: false },
  });
  expect(response.status).toBe(200);
  return response.json();
}

/** Long enough for several heartbeats of a living agent. */
const aWhile = () => Bun.sleep(300);

describe("rescue.finalize_rescue", () => {
  // control-plane 11.91, contract 10.55
  test.each([
    ["HTTP", false],
    ["TLS", true],
  ])(
    "over %s is answered, then the port closes, heartbeats stop, and the agent ends with 0",
    async (_, tls) => {
      const running = await start({ tls });
      await until(() => heartbeats(running) > 1);
      const answer = await command(running, "rescue.finalize_rescue", { rescue_password: "p455w0rd" });
      expect(answer).toMatchObject({
        command_name: "finalize_rescue",
        command_status: "SUCCEEDED",
        command_result: null,
        command_error: null,
      });
      expect(await running.ended).toBe(0);
      expect(await isRefused(running.url)).toBe(true);
      expect(running.system.fileMap.get("/etc/ipa-rescue-config/ipa-rescue-password")).toStartWith("$6$");
      const sent = heartbeats(running);
      await aWhile();
      expect(heartbeats(running)).toBe(sent);
      // The tenant has the machine now, and needs its network.
      expect(downed(running)).toEqual([]);
      // control-plane 11.20
      expect(log(running)).not.toContain("p455w0rd");
    },
  );

  // control-plane 11.99
  test("an agent that is started again serves nothing, asks for nothing and does not end", async () => {
    const running = await start({ files: { ...RAMDISK, "/etc/.rescued": "" } });
    await until(() => log(running).includes("/etc/.rescued"));
    await aWhile();
    expect(running.agent.port).toBeNull();
    expect(await isRefused(running.url)).toBe(true);
    expect(running.ironic.requests).toEqual([]);
    expect(downed(running)).toEqual([]);
    expect(running.exitCode).toBeNull();
    running.agent.stop();
    expect(await running.ended).toBe(0);
  });
});

describe("system.lockdown", () => {
  // control-plane 11.98, contract 10.57
  test.each([
    ["HTTP", false],
    ["TLS", true],
  ])(
    "over %s is answered; then API, heartbeats and interfaces are gone, and the process stays",
    async (_, tls) => {
      const running = await start({ tls });
      await until(() => heartbeats(running) > 1);
      expect(await command(running, "system.lockdown")).toMatchObject({
        command_name: "lockdown",
        command_status: "SUCCEEDED",
        command_result: null,
      });
      await until(() => downed(running).length > 0);
      expect(downed(running)).toEqual([["ip", "link", "set", "eth0", "down"]]);
      expect(await isRefused(running.url)).toBe(true);
      const sent = heartbeats(running);
      await aWhile();
      expect(heartbeats(running)).toBe(sent);
      expect(running.exitCode).toBeNull();
      running.agent.stop();
      expect(await running.ended).toBe(0);
    },
  );

  test("is refused on a machine in use, and everything goes on", async () => {
    const files = { "/proc/self/mountinfo": "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n" };
    const running = await start({ files });
    await until(() => heartbeats(running) > 0);
    expect(await command(running, "system.lockdown")).toMatchObject({ command_status: "FAILED" });
    const sent = heartbeats(running);
    await until(() => heartbeats(running) > sent);
    expect(await isRefused(running.url)).toBe(false);
    expect(downed(running)).toEqual([]);
  });
});

describe("an agent that has lost its token (DEV-30)", () => {
  test("takes the interfaces down, serves nothing and does not end", async () => {
    const running = await start({ token: "******" });
    await until(() => downed(running).length > 0);
    await aWhile();
    expect(await isRefused(running.url)).toBe(true);
    expect(heartbeats(running)).toBe(0);
    expect(running.exitCode).toBeNull();
    running.agent.stop();
    expect(await running.ended).toBe(0);
  });

  test("leaves the interfaces of a machine in use alone", async () => {
    const files = { "/proc/self/mountinfo": "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n" };
    const running = await start({ token: "******", files });
    await until(() => log(running).includes("interfaces stay up"));
    expect(downed(running)).toEqual([]);
    expect(running.exitCode).toBeNull();
  });
});
