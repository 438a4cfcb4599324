// The conductor's side of the agent's command API: start a command, read the list of results, and judge the answers
// exactly as Ironic's agent_client.py does, since an agent that upsets these rules stalls a deployment without a trace.

import { isJsonObject, type Json, type JsonObject } from "../../src/json.ts";
import type { Node, Step, StepKind } from "./node.ts";

/** What a running command of this agent tells about itself; not part of the reference's API. */
export interface CommandProgress {
  phase: string;
  done: number | null;
  total: number | null;
  unit: string;
  /** Units per second. */
  rate: number | null;
}

/** One entry of the command list. Only its name is certain: the rest is judged where it is used. */
export interface Command {
  command_name: string;
  command_status?: Json;
  command_error?: Json;
  command_result?: Json;
  command_progress?: Json;
}

/** The agent answered with an HTTP error, or said that it does not know a parameter. */
export class AgentApiError extends Error {
  override readonly name = "AgentApiError";
  readonly status: number;

  constructor(node: Node, status: number, fault: string) {
    super(`Agent API for node ${node.uuid} returned HTTP status code ${status} with error: ${fault}`);
    this.status = status;
  }
}

/** The agent runs another command at the moment; the same request may succeed later. */
export class AgentInProgressError extends Error {
  override readonly name = "AgentInProgressError";
  readonly command: string;

  constructor(node: Node, command: string, fault: string) {
    super(
      `Node ${node.uuid} command "${command}" failed. Agent is presently executing a command. Error ${fault}`,
    );
    this.command = command;
  }
}

/** The agent could not be reached, or its certificate is not the one it announced. */
export class AgentConnectionError extends Error {
  override readonly name = "AgentConnectionError";
}

/** The agent answered with something that is not the command API. */
export class AgentAnswerError extends Error {
  override readonly name = "AgentAnswerError";
}

export interface AgentClientOptions {
  /** `[agent]command_timeout`, milliseconds for one request. */
  commandTimeout: number;
  /** `[agent]max_command_attempts`: how often a request is made when the connection fails. */
  maxAttempts: number;
  /** Conductors from 2025.1 on send the token with GET too; 21.4 does not. */
  tokenOnGet: boolean;
  /** Ends requests under way, for a conductor that is closed. */
  signal: AbortSignal;
}

export class AgentClient {
  readonly #node: Node;
  readonly #options: AgentClientOptions;

  constructor(node: Node, options: AgentClientOptions) {
    this.#node = node;
    this.#options = options;
  }

  /** The agent's steps with its `hardware_manager_version`, unchecked. */
  getSteps(kind: StepKind): Promise<Command> {
    const params = { node: this.#node.commandView({ withConfigDrive: false }), ports: [...this.#node.ports] };
    return this.#command(`${kind}.get_${kind}_steps`, params, true);
  }

  executeStep(kind: StepKind, step: Step): Promise<Command> {
    const params: JsonObject = {
      step,
      node: this.#node.commandView({ withConfigDrive: kind === "deploy" }),
      ports: [...this.#node.ports],
      [`${kind}_version`]: this.#node.hardwareManagerVersion,
    };
    return this.#command(`${kind}.execute_${kind}_step`, params, false);
  }

  getPartitionUuids(): Promise<Command> {
    return this.#command("standby.get_partition_uuids", {}, true);
  }

  /** Starts the installation. An agent that refuses `target_boot_mode` gets the older form of the command. */
  async installBootloader(request: {
    rootUuid: Json;
    espUuid: Json;
    bootMode: "bios" | "uefi";
  }): Promise<Command> {
    const params = {
      root_uuid: request.rootUuid,
      efi_system_part_uuid: request.espUuid,
      prep_boot_part_uuid: null,
    };
    try {
      return await this.#command(
        "image.install_bootloader",
        { ...params, target_boot_mode: request.bootMode },
        false,
      );
    } catch (error) {
      if (!(error instanceof AgentApiError)) throw error;
      return await this.#command("image.install_bootloader", params, false);
    }
  }

  /** Answers when the disk is offered, or with the failure. */
  startIscsiTarget(iqn: string, portalPort: number): Promise<Command> {
    const params = { iqn, portal_port: portalPort, wipe_disk_metadata: true };
    return this.#command("iscsi.start_iscsi_target", params, true);
  }

  powerOff(): Promise<Command> {
    return this.#command("standby.power_off", {}, false);
  }

  collectSystemLogs(): Promise<Command> {
    return this.#command("log.collect_system_logs", {}, true);
  }

  /** All commands since the agent started, oldest first. */
  async commands(): Promise<Command[]> {
    const { body, status } = await this.#retrying("to collect commands status", () =>
      this.#request("GET", this.#query({}, "GET")),
    );
    const list = isJsonObject(body) ? body.commands : undefined;
    // Ironic does not look at the status here: it stumbles over the missing list.
    if (!Array.isArray(list)) {
      throw new AgentAnswerError(
        `'commands' is missing from the agent's answer to GET /v1/commands/ (HTTP ${status}): ` +
          JSON.stringify(body).slice(0, 200),
      );
    }
    return list.map(asCommand);
  }

  /** The latest entry of this name, or null. */
  async lastCommand(name: string): Promise<Command | null> {
    return (await this.commands()).findLast((command) => command.command_name === name) ?? null;
  }

  /** Starts a command and judges the answer. `name` is `<extension>.<command>`. */
  async #command(name: string, params: JsonObject, wait: boolean): Promise<Command> {
    const shortName = name.slice(name.indexOf(".") + 1);
    const request = { name, params };
    const { body, status } = await this.#retrying(
      `for invoking command ${name}`,
      () => this.#request("POST", this.#query({ wait: String(wait) }, "POST"), request),
      () => this.#acceptedAfterAll(shortName),
    );
    if (!isJsonObject(body))
      throw new AgentAnswerError(`${name}: the agent answered ${JSON.stringify(body)}`);

    const fault = typeof body.faultstring === "string" ? body.faultstring : null;
    // A failed command whose error names Python's TypeError means "I do not know this parameter" to Ironic.
    const error = body.command_error;
    if (error !== undefined && error !== null && !isJsonObject(error)) {
      throw new AgentAnswerError(`${name}: command_error is not an object: ${JSON.stringify(error)}`);
    }
    if (error?.type === "TypeError") {
      throw new AgentApiError(this.#node, Number(error.code), fault ?? String(error.message));
    }
    if (status >= 400) {
      if (fault === null) {
        throw new AgentAnswerError(
          `${name}: HTTP ${status} without a faultstring: ${JSON.stringify(body).slice(0, 200)}`,
        );
      }
      if (status === 409 || fault.toLowerCase().includes("agent is busy")) {
        throw new AgentInProgressError(this.#node, shortName, fault);
      }
      throw new AgentApiError(this.#node, status, fault);
    }
    return asCommand({ command_name: shortName, ...body });
  }

  /**
   * Makes a request up to `maxAttempts` times while the connection fails. After each failure `recovered` is asked
   * whether the agent has taken the request all the same.
   */
  async #retrying(
    purpose: string,
    make: () => Promise<Answer>,
    recovered?: () => Promise<Answer | null>,
  ): Promise<Answer> {
    let last: unknown;
    for (let attempt = 1; attempt <= this.#options.maxAttempts; attempt++) {
      try {
        return await make();
      } catch (error) {
        if (error instanceof AgentAnswerError) throw error;
        last = error;
      }
      this.#options.signal.throwIfAborted();
      const answer = await recovered?.();
      if (answer) return answer;
    }
    throw new AgentConnectionError(
      `Connection to agent failed: Failed to connect to the agent running on node ${this.#node.uuid} ${purpose}. ` +
        `Error: ${this.#redacted(describe(last))}`,
    );
  }

  /** The running entry of a command whose POST got no answer, or null. */
  async #acceptedAfterAll(shortName: string): Promise<Answer | null> {
    try {
      const { body, status } = await this.#request("GET", this.#query({}, "GET"));
      const list = isJsonObject(body) && Array.isArray(body.commands) ? body.commands : [];
      const last = list.at(-1);
      const running =
        isJsonObject(last) && last.command_name === shortName && last.command_status === "RUNNING";
      return running ? { status, body: last } : null;
    } catch {
      // Still unreachable: the caller's own attempt is the error to report.
      return null;
    }
  }

  #query(parameters: Record<string, string>, method: "GET" | "POST"): string {
    const query = new URLSearchParams(parameters);
    const { token } = this.#node;
    if (token !== null && (method === "POST" || this.#options.tokenOnGet)) query.set("agent_token", token);
    return query.size === 0 ? "" : `?${query}`;
  }

  async #request(method: "GET" | "POST", query: string, body?: JsonObject): Promise<Answer> {
    const { agent } = this.#node;
    if (agent === null) {
      throw new AgentConnectionError(
        "Connection to agent failed: Agent driver requires agent_url in driver_internal_info",
      );
    }
    const response = await fetch(`${agent.url}/v1/commands/${query}`, {
      method,
      headers: { "Content-Type": "application/json", "User-Agent": "python-requests/2.28.1" },
      signal: AbortSignal.any([AbortSignal.timeout(this.#options.commandTimeout), this.#options.signal]),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      // Only the agent's own certificate is trusted, and its address must be in it.
      ...(agent.verifyCa === null ? {} : { tls: { ca: agent.verifyCa, rejectUnauthorized: true } }),
    });
    const text = await response.text();
    try {
      return { status: response.status, body: JSON.parse(text) };
    } catch {
      throw new AgentAnswerError(
        `Unable to decode response as JSON.\nResponse status code: ${response.status}\n` +
          `Response: "${text.slice(0, 200)}"`,
      );
    }
  }

  #redacted(text: string): string {
    const { token } = this.#node;
    return token === null ? text : text.replaceAll(token, "******");
  }
}

interface Answer {
  status: number;
  body: Json;
}

function asCommand(entry: Json): Command {
  if (isJsonObject(entry) && typeof entry.command_name === "string") {
    return { ...entry, command_name: entry.command_name };
  }
  throw new AgentAnswerError(`Not a command object: ${JSON.stringify(entry).slice(0, 200)}`);
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error && typeof error.code === "string" ? `${error.code}: ` : "";
  return error.message.startsWith(code) ? error.message : code + error.message;
}

/** The `command_progress` of an entry, or null when it has none or one of another shape. */
export function progressOf(command: Command): CommandProgress | null {
  const progress = command.command_progress;
  if (!isJsonObject(progress) || typeof progress.phase !== "string") return null;
  const number = (value: Json | undefined) => (typeof value === "number" ? value : null);
  return {
    phase: progress.phase,
    done: number(progress.done),
    total: number(progress.total),
    unit: typeof progress.unit === "string" ? progress.unit : "",
    rate: number(progress.rate),
  };
}
