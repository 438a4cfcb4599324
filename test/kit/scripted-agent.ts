// An agent that does nothing but what it is told: a real HTTP server that follows the contract's command channel, for
// tests of the conductor. A test says how each command ends, and sends lookups and heartbeats when it wants to.

import { isJsonObject, type Json, type JsonObject, member } from "../../src/json.ts";

export interface Entry {
  id: string;
  command_name: string;
  command_status: string;
  command_error: Json;
  command_result: Json;
  command_progress?: JsonObject;
}

/** How a command begins: as a list entry, or as an answer that never gets into the list. */
export type Reply = Partial<Entry> | Response;

export interface ScriptedAgentOptions {
  /** Root of the conductor's API. */
  apiUrl: string;
  mac: string;
  /** PEM; the agent serves HTTPS and announces the certificate. */
  tls?: { cert: string; key: string };
  apiVersion?: string;
}

export class ScriptedAgent implements AsyncDisposable {
  /** The command list, oldest first; a test may change it at will. */
  readonly entries: Entry[] = [];
  /** Full names and parameters of all commands received, refused ones too. */
  readonly received: { name: string; params: JsonObject; wait: string | null }[] = [];
  nodeUuid = "";
  token: string | null = null;
  readonly #options: ScriptedAgentOptions;
  readonly #server: Bun.Server<undefined>;
  readonly #replies = new Map<string, (params: JsonObject) => Reply | Promise<Reply>>();

  constructor(options: ScriptedAgentOptions) {
    this.#options = options;
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      ...(options.tls === undefined ? {} : { tls: options.tls }),
      fetch: (request) => this.#serve(request),
    });
    this.on("deploy.get_deploy_steps", () =>
      succeeded({ deploy_steps: {}, hardware_manager_version: { generic_hardware_manager: "1.1" } }),
    );
    this.on("standby.get_partition_uuids", () => succeeded({ "root uuid": "0x1a2b3c4d" }));
    this.on("image.install_bootloader", () => ({ command_status: "RUNNING" }));
    this.on("standby.power_off", () => ({ command_status: "RUNNING" }));
    this.on("log.collect_system_logs", () => succeeded({ system_logs: btoa("logs") }));
    this.on("deploy.execute_deploy_step", () => ({ command_status: "RUNNING" }));
    this.on("clean.execute_clean_step", () => ({ command_status: "RUNNING" }));
  }

  get url(): string {
    return `${this.#options.tls === undefined ? "http" : "https"}://127.0.0.1:${this.#server.port}`;
  }

  /** Sets how the command with this full name begins from now on. */
  on(name: string, reply: (params: JsonObject) => Reply | Promise<Reply>): void {
    this.#replies.set(name, reply);
  }

  /** Ends the running command, successfully unless told otherwise. */
  finish(change: Partial<Entry> = {}): void {
    const entry = this.entries.findLast(({ command_status }) => command_status === "RUNNING");
    if (entry === undefined) throw new Error("No command is running.");
    Object.assign(entry, { command_status: "SUCCEEDED", ...change });
  }

  /** Ends the running step as an agent does: with the step itself in the result. */
  finishStep(kind: "clean" | "deploy", result: Json = null): void {
    const step = this.received.findLast(({ name }) => name === `${kind}.execute_${kind}_step`)?.params.step;
    this.finish({ command_result: { [`${kind}_result`]: result, [`${kind}_step`]: step ?? null } });
  }

  /** What a reboot of the ramdisk does to it. */
  reboot(): void {
    this.entries.length = 0;
    this.token = null;
  }

  async lookup(): Promise<Response> {
    const response = await fetch(`${this.#options.apiUrl}/v1/lookup?addresses=${this.#options.mac}`, {
      headers: { "X-OpenStack-Ironic-API-Version": "1.62" },
    });
    if (response.ok) {
      const answer = (await response.clone().json()) as {
        node: { uuid: string };
        config: { agent_token: string };
      };
      this.nodeUuid = answer.node.uuid;
      if (answer.config.agent_token !== "******") this.token = answer.config.agent_token;
    }
    return response;
  }

  async heartbeat(change: JsonObject = {}): Promise<Response> {
    return await fetch(`${this.#options.apiUrl}/v1/heartbeat/${this.nodeUuid}`, {
      method: "POST",
      headers: { "X-OpenStack-Ironic-API-Version": this.#options.apiVersion ?? "1.68" },
      body: JSON.stringify({
        callback_url: this.url,
        agent_token: this.token,
        agent_version: "6.4.4",
        ...(this.#options.tls === undefined ? {} : { agent_verify_ca: this.#options.tls.cert }),
        ...change,
      }),
    });
  }

  /** Names of the commands received, without their extension. */
  get names(): string[] {
    return this.received.map(({ name }) => name.slice(name.indexOf(".") + 1));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  async #serve(request: Request): Promise<Response> {
    const url = new URL(request.url);
    if (url.pathname !== "/v1/commands/") return fault(404, "404 Not Found");
    if (request.method === "GET") return Response.json({ commands: this.entries });

    if (url.searchParams.get("agent_token") !== this.token)
      return fault(401, "401 Unauthorized: Token invalid.");
    const body: unknown = await request.json();
    const name = member(body as Json, "name");
    const params = member(body as Json, "params");
    if (typeof name !== "string" || !isJsonObject(params)) return fault(400, "400 Bad Request");
    this.received.push({ name, params, wait: url.searchParams.get("wait") });
    const running = this.entries.at(-1);
    if (running?.command_status === "RUNNING") {
      return fault(409, `Agent is busy: executing command ${running.command_name}`);
    }
    const reply = await this.#replies.get(name)?.(params);
    if (reply === undefined) return fault(400, `Invalid command: Unknown command: ${name}`);
    if (reply instanceof Response) return reply;
    const entry: Entry = {
      id: crypto.randomUUID(),
      command_name: name.slice(name.indexOf(".") + 1),
      command_status: "SUCCEEDED",
      command_error: null,
      command_result: null,
      ...reply,
    };
    this.entries.push(entry);
    return Response.json(entry);
  }
}

export function succeeded(result: Json): Partial<Entry> {
  return { command_status: "SUCCEEDED", command_result: result };
}

export function fault(status: number, faultstring: string): Response {
  return Response.json({ faultcode: status >= 500 ? "Server" : "Client", faultstring }, { status });
}
