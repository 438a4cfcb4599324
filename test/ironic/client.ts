// Ironic's API as the scenarios use it: plain REST, which is faster than the command line client and typed where we look.

import type { Json, JsonObject } from "../../src/json.ts";

/** API version of 2023.1. */
const MICROVERSION = "1.82";
const REQUEST_TIMEOUT_MS = 60_000;
const LOCKED_RETRY_MS = 500;
const LOCKED_ATTEMPTS = 60;

/** The fields of a node that scenarios look at; the API sends more. */
export interface NodeRecord extends JsonObject {
  uuid: string;
  name: string | null;
  provision_state: string;
  target_provision_state: string | null;
  power_state: string | null;
  target_power_state: string | null;
  last_error: string | null;
  maintenance: boolean;
  maintenance_reason: string | null;
  clean_step: JsonObject;
  deploy_step: JsonObject;
  driver_internal_info: JsonObject;
  properties: JsonObject;
  instance_info: JsonObject;
  raid_config: JsonObject;
}

export interface PatchOperation {
  op: "add" | "replace" | "remove";
  path: string;
  value?: Json;
}

export class IronicApiError extends Error {
  override readonly name = "IronicApiError";
  readonly status: number;

  constructor(request: string, status: number, text: string) {
    super(`${request}: ${status} ${faultOf(text)}`);
    this.status = status;
  }
}

/** The API is not there at the moment: it has not come up yet or is being restarted. */
export class IronicUnreachable extends Error {
  override readonly name = "IronicUnreachable";
}

export class IronicClient {
  readonly url: string;
  readonly #signal: AbortSignal;

  constructor(url: string, signal: AbortSignal) {
    this.url = url;
    this.#signal = signal;
  }

  /** Whether the API answers and a conductor with the hardware type has registered. */
  async ready(): Promise<boolean> {
    try {
      const { drivers } = (await this.#request("GET", "/v1/drivers")) as { drivers: { hosts: string[] }[] };
      return drivers.some(({ hosts }) => hosts.length > 0);
    } catch (error) {
      // Until it listens, connections are refused; until it has started, it answers with errors.
      if (error instanceof IronicApiError || error instanceof IronicUnreachable) return false;
      throw error;
    }
  }

  async createNode(node: JsonObject): Promise<NodeRecord> {
    return (await this.#request("POST", "/v1/nodes", node)) as NodeRecord;
  }

  async createPort(port: JsonObject): Promise<void> {
    await this.#request("POST", "/v1/ports", port);
  }

  /** What Ironic knows of a node's network cards. */
  async ports(nodeUuid: string): Promise<JsonObject[]> {
    const { ports } = (await this.#request("GET", `/v1/ports?detail=true&node_uuid=${nodeUuid}`)) as {
      ports: JsonObject[];
    };
    return ports;
  }

  async node(uuid: string): Promise<NodeRecord> {
    return (await this.#request("GET", `/v1/nodes/${uuid}`)) as NodeRecord;
  }

  async patchNode(uuid: string, patch: readonly PatchOperation[]): Promise<void> {
    await this.#request("PATCH", `/v1/nodes/${uuid}`, patch as unknown as Json);
  }

  /** `target`: manage, provide, clean, active, rebuild, deleted, abort, … */
  async provision(uuid: string, target: string, more: JsonObject = {}): Promise<void> {
    await this.#request("PUT", `/v1/nodes/${uuid}/states/provision`, { target, ...more });
  }

  /** The steps run in every deployment of a node whose instance has the trait `name`. */
  async createDeployTemplate(name: string, steps: readonly JsonObject[]): Promise<void> {
    await this.#request("POST", "/v1/deploy_templates", { name, steps: [...steps] });
  }

  async deleteDeployTemplate(name: string): Promise<void> {
    await this.#request("DELETE", `/v1/deploy_templates/${name}`);
  }

  async setTraits(uuid: string, traits: readonly string[]): Promise<void> {
    await this.#request("PUT", `/v1/nodes/${uuid}/traits`, { traits: [...traits] });
  }

  async setTargetRaidConfig(uuid: string, config: JsonObject): Promise<void> {
    await this.#request("PUT", `/v1/nodes/${uuid}/states/raid`, config);
  }

  async setMaintenance(uuid: string, on: boolean): Promise<void> {
    await this.#request(on ? "PUT" : "DELETE", `/v1/nodes/${uuid}/maintenance`, on ? {} : undefined);
  }

  /** Removes the node in whatever state it is. */
  async deleteNode(uuid: string): Promise<void> {
    await this.setMaintenance(uuid, true);
    await this.#request("DELETE", `/v1/nodes/${uuid}`);
  }

  /** What happened to the node, oldest first. */
  async history(uuid: string): Promise<JsonObject[]> {
    const { history } = (await this.#request("GET", `/v1/nodes/${uuid}/history?detail=true`)) as {
      history: JsonObject[];
    };
    return history;
  }

  /** Sends a heartbeat that Ironic has to refuse; returns the words in which it does. */
  async refusedHeartbeat(uuid: string, fields: JsonObject): Promise<string> {
    const { ok, status, text } = await this.#send("POST", `/v1/heartbeat/${uuid}`, fields);
    if (ok) throw new Error(`Ironic took a heartbeat that it had to refuse: ${status}`);
    return faultOf(text);
  }

  /** One request; one that finds the node locked by the conductor is made again for a while. */
  async #request(method: string, path: string, body?: Json): Promise<Json> {
    for (let attempt = 1; ; attempt++) {
      const { ok, status, text } = await this.#send(method, path, body);
      if (ok) return text === "" ? null : (JSON.parse(text) as Json);
      const locked = status === 409 && text.includes("is locked by host");
      if (!locked || attempt >= LOCKED_ATTEMPTS) throw new IronicApiError(`${method} ${path}`, status, text);
      await Bun.sleep(LOCKED_RETRY_MS);
    }
  }

  async #send(
    method: string,
    path: string,
    body: Json | undefined,
  ): Promise<{ ok: boolean; status: number; text: string }> {
    try {
      const response = await fetch(this.url + path, {
        method,
        headers: {
          "Content-Type": "application/json",
          "X-OpenStack-Ironic-API-Version": MICROVERSION,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.any([this.#signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
      });
      return { ok: response.ok, status: response.status, text: await response.text() };
    } catch (error) {
      this.#signal.throwIfAborted();
      throw new IronicUnreachable(
        `${method} ${this.url}${path}: ${error instanceof Error ? error.message : error}`,
      );
    }
  }
}

/** Ironic's errors are JSON in a string in JSON. */
function faultOf(text: string): string {
  try {
    const outer = (JSON.parse(text) as { error_message?: unknown }).error_message;
    const inner = typeof outer === "string" && outer.startsWith("{") ? JSON.parse(outer) : outer;
    return typeof inner === "string" ? inner : String((inner as { faultstring?: unknown }).faultstring);
  } catch {
    // Not JSON after all: what it says is all there is.
    return text.slice(0, 500);
  }
}
