// Talking to the Ironic API: which URL, which headers, which version. What to ask and what the answers mean is for
// lookup.ts and heartbeat.ts.
// Source: control-plane specification 5.1, 5.2; conductor contract 1.1, 1.5.

import type { Config } from "../config/config.ts";
import { tlsClientOptions } from "../config/tls-client-options.ts";
import { errorText, IronicApiError } from "../errors.ts";
import { isJsonObject, type Json, member } from "../json.ts";
import type { TlsClientOptions } from "../system/http-client.ts";
import { HttpError } from "../system/http-client.ts";
import type { Logger } from "../system/log.ts";
import { environmentProxies, type ProxySettings, proxyFor } from "../system/proxy.ts";
import type { System } from "../system/system.ts";

/** Minor versions (of 1.N) at which the API, and the conductors behind it, learnt what the agent needs. */
export const API_MINOR = {
  agentVersion: 36,
  agentToken: 62,
  agentVerifyCa: 68,
  /** Ironic 29.0, the first release whose conductors send the token when they read results. */
  commandResultsToken: 96,
} as const;

export type ApiAnswer = { readonly status: number; readonly body: string };

export type ApiRequest = {
  readonly method: "GET" | "POST";
  /** Begins with a slash; query included. */
  readonly path: string;
  /** Minor version to ask for; null sends no version header. */
  readonly minor: number | null;
  readonly json?: Json;
};

type Settings = {
  readonly config: Config;
  readonly tls: TlsClientOptions;
  readonly proxies: ProxySettings;
};

export class IronicApi {
  readonly #system: System;
  readonly #log: Logger;
  readonly #settings: Settings;
  /** The one that answered last comes first. */
  #urls: readonly string[];
  /** Highest minor version of the server; null until it is known. */
  #maximumMinor: number | null;

  private constructor(system: System, urls: readonly string[], minor: number | null, settings: Settings) {
    this.#system = system;
    this.#log = system.log.named("ironic_agent.ironic");
    this.#settings = settings;
    this.#urls = urls;
    this.#maximumMinor = minor;
  }

  /** Null when no API URL is configured. @throws ConfigurationError for unusable TLS files. */
  static async create(system: System, config: Config): Promise<IronicApi | null> {
    const urls = splitUrls(config.get("api_url"));
    if (urls.length === 0) return null;
    return new IronicApi(system, urls, pinnedMinor(config, system.log), {
      config,
      tls: await tlsClientOptions(system, config),
      proxies: environmentProxies(system.environment),
    });
  }

  /** Base URLs without a slash at the end, the one to try next first. */
  get urls(): readonly string[] {
    return this.#urls;
  }

  /** The highest minor version the server speaks, as far as it is known. */
  get knownMinor(): number | null {
    return this.#maximumMinor;
  }

  /**
   * The highest minor version the server speaks. Only success is remembered.
   * @throws IronicApiError, HttpError
   */
  async maximumMinor(signal?: AbortSignal): Promise<number> {
    if (this.#maximumMinor !== null) return this.#maximumMinor;
    const answer = await this.request({ method: "GET", path: "/", minor: null }, signal);
    const version = member(member(parseJson(answer.body), "default_version"), "version");
    const minor = typeof version === "string" ? minorOf(version) : null;
    if (answer.status !== 200 || minor === null)
      throw new IronicApiError(`asking ${this.#urls[0]}/ for its API version: ${describeFailure(answer)}`);
    this.#log.debug(`The Ironic API speaks up to version 1.${minor}`);
    this.#maximumMinor = minor;
    return minor;
  }

  /** The server refused a version: ask again which ones it knows. */
  forgetVersion(): void {
    this.#maximumMinor = null;
  }

  /** One request, to the first URL that can be reached. @throws HttpError when none can. */
  async request(request: ApiRequest, signal?: AbortSignal): Promise<ApiAnswer> {
    const failures: HttpError[] = [];
    for (const url of this.#urls) {
      try {
        const answer = await this.#send(url, request, signal);
        this.#urls = [url, ...this.#urls.filter((other) => other !== url)];
        return answer;
      } catch (error) {
        if (!(error instanceof HttpError)) throw error;
        failures.push(error);
        if (this.#urls.length > 1)
          this.#log.warning(`Ironic cannot be reached at ${url}: ${errorText(error)}`);
      }
    }
    const [only] = failures;
    if (failures.length === 1 && only !== undefined) throw only;
    const reasons = failures.map((failure) => failure.message).join("; ");
    throw new HttpError(`no Ironic API URL can be reached: ${reasons}`, "ECONNREFUSED");
  }

  async #send(url: string, request: ApiRequest, signal: AbortSignal | undefined): Promise<ApiAnswer> {
    const { config, tls, proxies } = this.#settings;
    const requestId = config.get("global_request_id");
    const response = await this.#system.http({
      method: request.method,
      url: url + request.path,
      headers: {
        Accept: "application/json",
        "Content-Type": "application/json",
        ...(requestId === null ? {} : { "X-OpenStack-Request-ID": requestId }),
        ...(request.minor === null ? {} : { "X-OpenStack-Ironic-API-Version": `1.${request.minor}` }),
      },
      ...(request.json === undefined ? {} : { body: JSON.stringify(request.json) }),
      // Ironic's answer to the lookup may have changed the policy.
      tls: { ...tls, minVersion: config.get("tls_min_version"), ciphers: config.get("tls_cipher_suites") },
      proxy: proxyFor(url, proxies),
      timeout: config.get("http_request_timeout"),
      ...(signal === undefined ? {} : { signal }),
    });
    return { status: response.status, body: await response.text() };
  }
}

/** The value of JSON text, or null if it is none. */
export function parseJson(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return null; // not JSON: the callers' checks of what they need say so better
  }
}

/**
 * What a failed answer says, for people: `Error 409: Node … is locked`. Ironic wraps the fault in `error_message`, as an
 * object or as JSON inside a string; proxies answer with anything.
 */
export function describeFailure({ status, body }: ApiAnswer): string {
  const wrapped = member(parseJson(body), "error_message");
  const fault = typeof wrapped === "string" ? (parseJson(wrapped) ?? wrapped) : wrapped;
  const parts = isJsonObject(fault)
    ? [
        fault.faultstring,
        [fault.title, fault.description].filter((part) => typeof part === "string").join(": "),
      ]
    : [fault];
  const text = parts.find((part) => typeof part === "string" && part !== "") ?? body;
  return `Error ${status}: ${String(text).trim().slice(0, 500) || "no explanation"}`;
}

function splitUrls(apiUrl: string | null): string[] {
  return (apiUrl ?? "")
    .split(",")
    .map((url) => url.trim().replace(/\/+$/, ""))
    .filter((url) => url !== "");
}

/** N of `1.N`, or null for anything else. */
function minorOf(version: string): number | null {
  const match = /^1\.(\d+)$/.exec(version);
  return match === null ? null : Number(match[1]);
}

function pinnedMinor(config: Config, log: Logger): number | null {
  const pinned = config.get("ironic_api_version");
  if (pinned === null) return null;
  const minor = minorOf(pinned);
  if (minor === null)
    log.warning(
      `ironic_api_version: ${JSON.stringify(pinned)} is not of the form 1.N; asking Ironic instead`,
    );
  return minor;
}
