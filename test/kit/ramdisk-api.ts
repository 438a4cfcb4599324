// The three requests of the Ironic API that a ramdisk makes: version discovery, lookup and heartbeat, checked as
// strictly as Ironic checks them and in its order, because agents see the difference. What a heartbeat sets in
// motion is not decided here: an accepted one goes to `onHeartbeat`.

import { timingSafeEqual } from "node:crypto";
import { isJsonObject, type JsonObject } from "../../src/json.ts";
import { ApiError } from "./api-error.ts";
import type { Emit } from "./events.ts";
import type { Faults } from "./faults.ts";
import { VERSION_HEADER, type VersionRange } from "./microversion.ts";
import { LOOKUP_STATES, type Node } from "./node.ts";

/** Microversions at which the API changes for agents. */
const RAMDISK_MINOR = 22;
const AGENT_VERSION_MINOR = 36;
const TOKEN_MINOR = 62;
const VERIFY_CA_MINOR = 68;
const STATUS_MINOR = 72;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;

const LOCKED = "The node is locked by host embedded, please retry after the current operation is completed.";

export interface Heartbeat {
  callbackUrl: string;
  agentVersion: string;
  agentVerifyCa: string | null;
}

export interface RamdiskApiOptions {
  versions: VersionRange;
  nodes: () => Iterable<Node>;
  faults: Faults;
  emit: Emit;
  /** Seconds; agents heartbeat about twice within it. */
  heartbeatTimeout: number;
  /** `[agent]require_tls`: heartbeats with an http:// callback are refused. */
  requireTls: boolean;
  /** Further members of the lookup's `config`, as other releases of Ironic send them. */
  extraConfig: JsonObject;
  /** Called with each accepted heartbeat; what it sets in motion must not hold up the answer. */
  onHeartbeat: (node: Node, heartbeat: Heartbeat) => void;
}

export class RamdiskApi {
  readonly #options: RamdiskApiOptions;

  constructor(options: RamdiskApiOptions) {
    this.#options = options;
  }

  async handle(request: Request): Promise<Response> {
    try {
      return await this.#route(request);
    } catch (error) {
      if (error instanceof ApiError) return error.toResponse();
      return new ApiError(500, `The embedded conductor failed: ${String(error)}`).toResponse();
    }
  }

  async #route(request: Request): Promise<Response> {
    const url = new URL(request.url);
    if (url.pathname === "/") return this.#discovery(url);
    if (!url.pathname.startsWith("/v1/")) throw ApiError.notFound();

    const minor = this.#options.versions.requested(request.headers.get(VERSION_HEADER));
    try {
      const heartbeat = /^\/v1\/heartbeat\/([^/]+)$/.exec(url.pathname);
      if (minor < RAMDISK_MINOR) throw ApiError.notFound();
      if (request.method === "GET" && url.pathname === "/v1/lookup") return this.#lookup(url, minor);
      if (request.method === "POST" && heartbeat !== null) {
        return await this.#heartbeat(decodeURIComponent(heartbeat[1] ?? ""), request, minor);
      }
      throw ApiError.notFound();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      throw new ApiError(error.status, error.message, error.fault, this.#options.versions.headers(minor));
    }
  }

  #discovery(url: URL): Response {
    const status = this.#options.faults.takeDiscovery();
    if (status !== undefined) throw new ApiError(status, "A fault was asked for.");
    const { minimum, maximum } = this.#options.versions;
    const version = {
      id: "v1",
      links: [{ href: `${url.origin}/v1/`, rel: "self" }],
      status: "CURRENT",
      min_version: minimum,
      version: maximum,
    };
    return Response.json({
      name: "OpenStack Ironic API",
      description:
        "Ironic is an OpenStack project which enables the provision and management of baremetal machines.",
      default_version: version,
      versions: [version],
    });
  }

  // --- Lookup ---

  #lookup(url: URL, minor: number): Response {
    const addresses = normalisedAddresses(url.searchParams.get("addresses") ?? "");
    const answer = { node: null as string | null, status: 200 };
    try {
      const fault = this.#options.faults.takeLookup();
      if (fault === "conflict") throw new ApiError(409, LOCKED);
      if (fault === "server-error") throw new ApiError(500, "A fault was asked for.");
      if (fault === "garbage") return new Response("<html>", { headers: { "Content-Type": "text/html" } });
      if (fault === "empty") return Response.json({});

      const node = this.#findByLookup(addresses, url.searchParams.get("node_uuid"));
      answer.node = node.uuid;
      return Response.json(
        { node: node.lookupView(url.origin), config: this.#lookupConfig(node, minor) },
        { headers: this.#options.versions.headers(minor) },
      );
    } catch (error) {
      answer.status = error instanceof ApiError ? error.status : 500;
      throw error;
    } finally {
      this.#options.emit({ type: "lookup", addresses, version: `1.${minor}`, ...answer });
    }
  }

  #findByLookup(addresses: readonly string[], nodeUuid: string | null): Node {
    if (nodeUuid !== null && !UUID.test(nodeUuid)) {
      throw ApiError.badRequest(`Expected UUID for node_uuid: ${nodeUuid}`);
    }
    if (addresses.length === 0 && nodeUuid === null) {
      throw ApiError.badRequest("At least one of 'addresses' and 'node_uuid' parameters is required");
    }
    const nodes = [...this.#options.nodes()];
    // With a UUID the addresses do not matter; without one they must all lead to the same node.
    const found =
      nodeUuid === null
        ? nodes.filter((node) => node.ports.some((port) => addresses.includes(port.address)))
        : nodes.filter((node) => node.uuid === nodeUuid.toLowerCase());
    const node = found[0];
    if (node === undefined || found.length > 1) throw ApiError.notFound();
    if (!LOOKUP_STATES.has(node.provisionState)) throw ApiError.notFound();
    return node;
  }

  #lookupConfig(node: Node, minor: number): JsonObject {
    let token: string | null = null;
    // A token is handed out once, and only to those who ask at a version that knows tokens.
    if (node.token !== null) token = "******";
    else if (minor >= TOKEN_MINOR) token = node.createToken();
    return {
      metrics: {
        backend: "noop",
        prepend_host: false,
        prepend_uuid: false,
        prepend_host_reverse: true,
        global_prefix: null,
      },
      metrics_statsd: { statsd_host: "localhost", statsd_port: 8125 },
      heartbeat_timeout: this.#options.heartbeatTimeout,
      agent_token: token,
      agent_token_required: true,
      disable_deep_image_inspection: false,
      permitted_image_formats: ["raw", "qcow2", "iso"],
      enable_bios_bootloader_install: true,
      ...this.#options.extraConfig,
    };
  }

  // --- Heartbeat ---

  async #heartbeat(ident: string, request: Request, minor: number): Promise<Response> {
    try {
      const fault = this.#options.faults.takeHeartbeat();
      if (fault !== undefined) throw new ApiError(fault.status, fault.reason);
      const fields = checkedFields(await requestBody(request), minor);
      const node = this.#findByIdent(ident);
      const heartbeat = this.#verified(node, fields);
      this.#options.onHeartbeat(node, heartbeat);
      return new Response(null, { status: 202, headers: this.#options.versions.headers(minor) });
    } catch (error) {
      if (error instanceof ApiError) {
        const { status, message } = error;
        this.#options.emit({ type: "heartbeat-refused", ident, status, reason: message });
      }
      throw error;
    }
  }

  #findByIdent(ident: string): Node {
    for (const node of this.#options.nodes()) {
      if (node.uuid === ident.toLowerCase() || (node.name !== null && node.name === ident)) return node;
    }
    throw new ApiError(404, `Node ${ident} could not be found.`);
  }

  /** Ironic's checks in Ironic's order: the URL in the API, then version, token, TLS and certificate in the conductor. */
  #verified(node: Node, fields: HeartbeatFields): Heartbeat {
    const known = node.agent;
    if (known !== null && known.url !== fields.callback_url) {
      throw ApiError.badRequest('Detected change in ramdisk provided "callback_url"');
    }
    if (fields.agent_token === null) {
      throw ApiError.badRequest("Agent token is required for heartbeat processing.");
    }
    if (fields.agent_version === null) {
      throw ApiError.badRequest(
        "Agent did not transmit a version, and a version is required. Please update the agent being used.",
      );
    }
    if (node.token === null || !sameSecret(node.token, fields.agent_token)) {
      throw ApiError.badRequest("Invalid or missing agent token received.");
    }
    if (this.#options.requireTls && !fields.callback_url.startsWith("https://")) {
      throw ApiError.badRequest("TLS is required by configuration");
    }
    const pinned = known?.verifyCa ?? null;
    if (
      pinned !== null &&
      fields.agent_verify_ca !== null &&
      pinned.trim() !== fields.agent_verify_ca.trim()
    ) {
      throw ApiError.badRequest('Detected change in ramdisk provided "agent_verify_ca"');
    }
    return {
      callbackUrl: fields.callback_url,
      agentVersion: fields.agent_version,
      agentVerifyCa: fields.agent_verify_ca ?? pinned,
    };
  }
}

interface HeartbeatFields {
  callback_url: string;
  agent_token: string | null;
  agent_version: string | null;
  agent_verify_ca: string | null;
}

const HEARTBEAT_FIELDS = [
  "callback_url",
  "agent_token",
  "agent_version",
  "agent_verify_ca",
  "agent_status",
  "agent_status_message",
];

async function requestBody(request: Request): Promise<JsonObject> {
  let body: unknown;
  try {
    body = await request.json();
  } catch (error) {
    throw ApiError.badRequest(`Request body is not JSON: ${String(error)}`);
  }
  if (!isJsonObject(body)) throw ApiError.badRequest("Request body is not a JSON object.");
  return body;
}

/** Throws the 400 of a body that the API at this version does not take. */
function checkedFields(body: JsonObject, minor: number): HeartbeatFields {
  const unexpected = Object.keys(body).filter((key) => !HEARTBEAT_FIELDS.includes(key));
  if (unexpected.length > 0) throw ApiError.badRequest(`Unexpected arguments: ${unexpected.join(", ")}`);

  const text = (key: string): string | null => {
    const value = body[key] ?? null;
    if (value === null || typeof value === "string") return value;
    throw ApiError.badRequest(`Expected string for ${key}: ${JSON.stringify(value)}`);
  };
  const callbackUrl = text("callback_url");
  if (callbackUrl === null) throw ApiError.badRequest("Missing mandatory parameter: callback_url");
  const agentToken = text("agent_token");
  const agentVersion = text("agent_version");
  const agentVerifyCa = text("agent_verify_ca");
  const status = text("agent_status") ?? text("agent_status_message");
  if (agentVersion !== null && minor < AGENT_VERSION_MINOR) {
    throw ApiError.badRequest('Field "agent_version" not recognised');
  }
  if (status !== null && minor < STATUS_MINOR) {
    throw ApiError.badRequest('Fields "agent_status" and "agent_status_message" not recognised.');
  }
  if (agentVerifyCa !== null && minor < VERIFY_CA_MINOR) {
    throw ApiError.badRequest('Field "agent_verify_ca" not recognised in this version');
  }
  return {
    callback_url: callbackUrl,
    agent_token: agentToken,
    agent_version: agentVersion,
    agent_verify_ca: agentVerifyCa,
  };
}

/** Lower case, trimmed, without duplicates; what is not a MAC address is left out, as Ironic does with a log line. */
function normalisedAddresses(list: string): string[] {
  const addresses = list.split(",").map((address) => address.trim().toLowerCase());
  return [...new Set(addresses.filter((address) => MAC.test(address)))];
}

function sameSecret(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)];
  return left.length === right.length && timingSafeEqual(left, right);
}
