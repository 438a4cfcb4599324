// Whole agents on a test machine, and a real HTTP server that plays Ironic for them: what the tests of agents share.

import { Agent } from "../../src/agent.ts";
import { Config } from "../../src/config/config.ts";
import type { OptionValues } from "../../src/config/options.ts";
import type { ManagerFactory } from "../../src/hardware/manager.ts";
import type { JsonObject } from "../../src/json.ts";
import { type Listening, realHttpListener, type TlsServerOptions } from "../../src/system/http-server.ts";
import type { RecordedSystem } from "./recorded-system.ts";
import { loopbackOptions, testMachine, testManager } from "./test-machine.ts";

export const UUID = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123";
export const TOKEN = "gnhF7yzJ0T9nPDGJfl7XcLyvY6dPxvCUuDcZc7U2N-I";
export const MAC = "52:54:00:aa:00:01";

export type Heartbeat = {
  callback_url: string;
  agent_token: string;
  agent_version: string;
  agent_verify_ca?: string;
};

/** Ironic with one node: hands its token out once, and lets the test see each heartbeat before it is answered. */
export class TestIronic {
  readonly requests: string[] = [];
  readonly heartbeats: Heartbeat[] = [];
  version = "1.82";
  token: string | null = TOKEN;
  tokenRequired: boolean | undefined = true;
  lookupStatus = 200;
  heartbeatTimeout = 300;
  /** Further members of the answer's `config`. */
  config: JsonObject = {};
  onHeartbeat: (heartbeat: Heartbeat) => Promise<void> = async () => undefined;
  #server: Listening | null = null;
  #arrived = Promise.withResolvers<void>();

  /** Listens on a free port, or again where it listened before. */
  async listen(tls: TlsServerOptions | null = null): Promise<string> {
    const handle = (request: Request) => this.#answer(request);
    const port = this.#server?.port ?? 0;
    this.#server = await realHttpListener({ host: "127.0.0.1", port, tls, maxRequestBody: 1e6, handle });
    return `${tls === null ? "http" : "https"}://127.0.0.1:${this.#server.port}`;
  }

  async stop(): Promise<void> {
    await this.#server?.stop(0);
  }

  /** Resolves when `count` heartbeats have been answered. */
  async heard(count: number): Promise<void> {
    while (this.heartbeats.length < count) await this.#arrived.promise;
  }

  async #answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    this.requests.push(`${request.method} ${url.pathname}`);
    if (url.pathname === "/") return Response.json({ default_version: { id: "v1", version: this.version } });
    if (url.pathname === "/v1/lookup") {
      if (this.lookupStatus !== 200) return new Response("", { status: this.lookupStatus });
      if (url.searchParams.get("addresses") !== MAC) return new Response("", { status: 404 });
      const config = {
        heartbeat_timeout: this.heartbeatTimeout,
        agent_token: this.token,
        agent_token_required: this.tokenRequired,
        ...this.config,
      };
      if (this.token !== null) this.token = "******";
      return Response.json({ node: { uuid: UUID, asked: this.requests.length }, config });
    }
    const heartbeat = (await request.json()) as Heartbeat;
    await this.onHeartbeat(heartbeat);
    this.heartbeats.push(heartbeat);
    this.#arrived.resolve();
    this.#arrived = Promise.withResolvers();
    return new Response(null, { status: 202 });
  }
}

export type Running = {
  readonly agent: Agent;
  readonly ended: Promise<number>;
  readonly system: RecordedSystem;
  readonly port: number;
};

/** Starts Ironics and agents, and stops them all: `afterEach(rig.cleanUp)`. */
export function agentRig() {
  const cleanups: (() => Promise<unknown>)[] = [];
  return {
    async cleanUp(): Promise<void> {
      for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    },

    async startIronic(
      settings: Partial<TestIronic> = {},
      tls: TlsServerOptions | null = null,
    ): Promise<{ ironic: TestIronic; url: string }> {
      const ironic = Object.assign(new TestIronic(), settings);
      cleanups.push(() => ironic.stop());
      return { ironic, url: await ironic.listen(tls) };
    },

    async startAgent(
      values: Partial<OptionValues>,
      options: { system?: RecordedSystem; manager?: ManagerFactory } = {},
    ): Promise<Running> {
      const system = options.system ?? testMachine();
      const loopback = await loopbackOptions();
      const config = Config.of({ ...loopback, ...values });
      const agent = new Agent(system, config, [options.manager ?? testManager(MAC)]);
      const ended = agent.run();
      cleanups.push(() => {
        agent.stop();
        return ended;
      });
      return { agent, ended, system, port: loopback.listen_port };
    },
  };
}

/** Resolves when the agent's API answers. */
export async function served({ agent, ended }: Running): Promise<void> {
  let over: number | null = null;
  void ended.then((code) => {
    over = code;
  });
  while (agent.port === null) {
    if (over !== null) throw new Error(`the agent ended with ${over}`);
    await Bun.sleep(2);
  }
}

export async function post(
  url: string,
  name: string,
  params: JsonObject = {},
  ca?: string,
): Promise<Response> {
  return fetch(url, {
    method: "POST",
    body: JSON.stringify({ name, params }),
    ...(ca === undefined ? {} : { tls: { ca } }),
  });
}

export const isRefused = (port: number) =>
  fetch(`http://127.0.0.1:${port}/`).then(
    () => false,
    () => true,
  );

export const messages = ({ system }: Running, level: string) =>
  system.records.filter((record) => record.level === level).map(({ message }) => message);

/** Resolves when the agent has logged a text so many times. */
export async function logged(running: Running, level: string, text: string, count: number): Promise<void> {
  while (messages(running, level).filter((message) => message.startsWith(text)).length < count)
    await Bun.sleep(2);
}

/** Resolves when the agent has dealt with Ironic's answers to so many heartbeats. */
export const accepted = (running: Running, count: number) =>
  logged(running, "DEBUG", "Heartbeat accepted", count);
