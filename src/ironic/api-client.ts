// Talking to the Ironic API: which URL, which headers, which version. What to ask and what the answers mean is for
// lookup.ts and heartbeat.ts.
// Source: control-plane specification 5.1, 5.2; conductor contract 1.1, 1.5.

import type { Config } from "../config/config.ts";
import { tlsClientOptions } from "../config/tls-client-options.ts";
import { errorText, IronicApiError } from "../errors.ts";
import { isJsonObject, type Json, member } from "../json.ts";
import { HttpError, type HttpResponse, type TlsClientOptions } from "../system/http-client.ts";
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
  /** Seconds; http_request_timeout unless given. */
  readonly timeout?: number;
};

/** What messages call a service, and the option that its URL is in. */
export type ServiceNames = { readonly name: string; readonly option: string };

const IRONIC: ServiceNames = { name: "Ironic", option: "api_url" };

type Settings = {
  readonly names: ServiceNames;
  readonly config: Config;
  readonly tls: TlsClientOptions;
  readonly proxies: ProxySettings;
};

/** Enough for a load balancer that moves clients to https and to another path. */
const MAX_REDIRECTS = 5;

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
    // `mdns` is replaced where discovery is wanted; a standalone agent discovers nothing.
    if (urls.length === 0 || urls[0]?.toLowerCase() === "mdns") return null;
    return IronicApi.at(system, config, urls);
  }

  /**
   * The service at these URLs, asked in the same way: the inspection's is not always the API.
   * @throws ConfigurationError for unusable TLS files
   */
  static async at(
    system: System,
    config: Config,
    urls: readonly string[],
    names: ServiceNames = IRONIC,
  ): Promise<IronicApi> {
    return new IronicApi(system, urls, pinnedMinor(config, system.log), {
      names,
      config,
      tls: await tlsClientOptions(system, config),
      proxies: environmentProxies(system.environment),
    });
  }

  /** Base URLs without a slash at the end, the one to try next first. */
  get urls(): readonly string[] {
    return this.#urls;
  }

  /**
   * The URLs where anybody answers now; all if nobody does. Of an address of the wrong family, say, the route
   * alone does not tell that nothing comes back.
   */
  async reachableUrls(signal?: AbortSignal): Promise<readonly string[]> {
    if (this.#urls.length < 2) return this.#urls;
    const answering = await Promise.all(
      this.#urls.map(async (url) => {
        try {
          await this.#send(url, { method: "GET", path: "/", minor: null }, signal);
          return true;
        } catch (error) {
          if (!(error instanceof HttpError)) throw error;
          this.#log.warning(`Ironic cannot be reached at ${url}: ${errorText(error)}`);
          return false;
        }
      }),
    );
    const reachable = this.#urls.filter((_, index) => answering[index]);
    return reachable.length > 0 ? reachable : this.#urls;
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
    if (answer.status !== 200 || minor === null) {
      const reason =
        answer.status === 200
          ? `the answer ${notJson(answer.body) ?? 'has no version 1.N in "default_version"'}: is this the URL of an Ironic API?`
          : describeFailure(answer);
      throw new IronicApiError(`asking ${this.#urls[0]}/ for its API version: ${reason}`);
    }
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
    const { name, option } = this.#settings.names;
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
          this.#log.warning(`${name} cannot be reached at ${url}: ${errorText(error)}`);
      }
    }
    const [only] = failures;
    if (failures.length === 1 && only !== undefined) throw only;
    const reasons = failures.map((failure) => failure.message).join("; ");
    throw new HttpError(`${name} cannot be reached at any URL of ${option}: ${reasons}`, "ECONNREFUSED");
  }

  /** One request to one URL, and to where that sends it. */
  async #send(url: string, request: ApiRequest, signal: AbortSignal | undefined): Promise<ApiAnswer> {
    let target = url + request.path;
    for (let redirects = 0; ; redirects++) {
      const response = await this.#sendTo(target, request, signal);
      const { status } = response;
      const body = await response.text();
      const location = response.headers.get("location");
      if (status < 300 || status >= 400 || location === null) return { status, body };
      const next =
        redirects < MAX_REDIRECTS ? followedRedirect(status, request.method, target, location) : null;
      if (next === null)
        return {
          status,
          body: `${target} redirects to ${location}, where the agent does not follow: correct ${this.#settings.names.option}`,
        };
      this.#log.debug(`${target} redirects to ${next}`);
      target = next;
    }
  }

  #sendTo(target: string, request: ApiRequest, signal: AbortSignal | undefined): Promise<HttpResponse> {
    const { config, tls, proxies } = this.#settings;
    const requestId = config.get("global_request_id");
    return this.#system.http({
      method: request.method,
      url: target,
      headers: {
        Accept: "application/json",
        "Content-Type": "application/json",
        ...(requestId === null ? {} : { "X-OpenStack-Request-ID": requestId }),
        ...(request.minor === null ? {} : { "X-OpenStack-Ironic-API-Version": `1.${request.minor}` }),
      },
      ...(request.json === undefined ? {} : { body: JSON.stringify(request.json) }),
      // Ironic's answer to the lookup may have changed the policy.
      tls: { ...tls, minVersion: config.get("tls_min_version"), ciphers: config.get("tls_cipher_suites") },
      proxy: proxyFor(target, proxies),
      timeout: request.timeout ?? config.get("http_request_timeout"),
      ...(signal === undefined ? {} : { signal }),
    });
  }
}

/** Where a redirect leads, or null when it would make another request of this one, or give up TLS. */
function followedRedirect(
  status: number,
  method: ApiRequest["method"],
  from: string,
  location: string,
): string | null {
  // 301 and 302 make a GET of a POST.
  if (![301, 302, 307, 308].includes(status) || (method !== "GET" && status < 307)) return null;
  if (!URL.canParse(location, from)) return null;
  const target = new URL(location, from);
  const allowed = from.startsWith("https:") ? ["https:"] : ["https:", "http:"];
  return allowed.includes(target.protocol) ? target.href : null;
}

/** The value of JSON text, or null if it is none. */
export function parseJson(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return null; // not JSON: the callers' checks of what they need say so better, with notJson
  }
}

/** `is no JSON, but begins with …` for a text that is none, else null. */
export function notJson(body: string): string | null {
  try {
    JSON.parse(body);
    return null;
  } catch {
    const words = withoutMarkup(body).trim();
    return body.trim() === ""
      ? "is empty"
      : `is no JSON, but begins with ${JSON.stringify(words.slice(0, 100))}`;
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
  const text = parts.find((part) => typeof part === "string" && part !== "") ?? withoutMarkup(body);
  return `Error ${status}: ${String(text).trim().slice(0, 500) || "no explanation"}`;
}

/** The words of a proxy's HTML page. */
function withoutMarkup(body: string): string {
  if (!/^\s*<(?:!doctype|html)/i.test(body)) return body;
  return body
    .slice(0, 10_000)
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ");
}

/** The URLs of an option that may hold several, without slashes at their ends; none if it is not set. */
export function splitUrls(option: string | null): string[] {
  return (option ?? "")
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
