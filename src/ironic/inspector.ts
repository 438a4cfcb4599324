// Posting inspection data: to ironic-inspector, or to Ironic's own in-band inspection.
// Source: control-plane specification 8.1 (retries as in the reference from 9.7.1 on), conductor contract 8.

import type { Config } from "../config/config.ts";
import { tlsClientOptions } from "../config/tls-client-options.ts";
import { errorText } from "../errors.ts";
import { type JsonObject, member } from "../json.ts";
import { HttpError, type TlsClientOptions } from "../system/http-client.ts";
import type { Logger } from "../system/log.ts";
import { environmentProxies, type ProxySettings, proxyFor } from "../system/proxy.ts";
import type { System } from "../system/system.ts";
import { type ApiAnswer, describeFailure, parseJson } from "./api-client.ts";

/** Where Ironic's API takes inspection data itself. */
const CONTINUE_PATH = "/v1/continue_inspection";

const ATTEMPTS = 5;
/** Seconds before the second attempt, doubled from then on, within these limits. */
const FIRST_WAIT = 1.5;
const SHORTEST_WAIT = 5;
const LONGEST_WAIT = 30;

/** The node is locked, or the service is in trouble: worth another try. */
function isPassing(status: number): boolean {
  return status === 409 || status >= 500;
}

/** The service answered every attempt, and never with anything but "not now". */
export class InspectorUnavailableError extends Error {}

export class Inspector {
  /** In the order in which they are tried. */
  readonly urls: readonly string[];
  readonly #system: System;
  readonly #config: Config;
  readonly #log: Logger;
  readonly #tls: TlsClientOptions;
  readonly #proxies: ProxySettings;

  private constructor(system: System, config: Config, urls: readonly string[], tls: TlsClientOptions) {
    this.urls = urls;
    this.#system = system;
    this.#config = config;
    this.#log = system.log.named("ironic_agent.inspection");
    this.#tls = tls;
    this.#proxies = environmentProxies(system.environment);
  }

  /** @throws ConfigurationError for unusable TLS files */
  static async create(system: System, config: Config, urls: readonly string[]): Promise<Inspector> {
    return new Inspector(system, config, urls, await tlsClientOptions(system, config));
  }

  /**
   * Posts until somebody gives a final answer, which may be a refusal.
   * @throws HttpError when the last attempt reached nobody, InspectorUnavailableError when it was put off, the signal's
   *   reason
   */
  async post(data: JsonObject, signal: AbortSignal): Promise<ApiAnswer> {
    const body = JSON.stringify(data);
    const { clock } = this.#system;
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#attempt(body, signal);
      if ("status" in outcome && !isPassing(outcome.status)) return outcome;
      const failure =
        "status" in outcome
          ? new InspectorUnavailableError(
              `${this.urls.join(", ")} did not take the inspection data: ${describeInspectorFailure(outcome)}`,
            )
          : outcome;
      if (attempt >= ATTEMPTS) throw failure;
      const wait = Math.min(LONGEST_WAIT, Math.max(SHORTEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)));
      this.#log.warning(
        `posting inspection data, attempt ${attempt} of ${ATTEMPTS}: ${errorText(failure)}; next in ${wait} s`,
      );
      await clock.sleep(wait, signal);
    }
  }

  /** The answer of the first URL that can be reached, or the last URL's error. */
  async #attempt(body: string, signal: AbortSignal): Promise<ApiAnswer | HttpError> {
    let failure = new HttpError("no URL for the inspection data is configured", "ENOENT");
    for (const url of this.urls) {
      try {
        return await this.#send(url, body, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof HttpError)) throw error;
        failure = error;
        if (this.urls.length > 1) this.#log.warning(`cannot post to ${url}: ${errorText(error)}`);
      }
    }
    return failure;
  }

  async #send(url: string, body: string, signal: AbortSignal): Promise<ApiAnswer> {
    const config = this.#config;
    const requestId = config.get("global_request_id");
    const response = await this.#system.http({
      method: "POST",
      url,
      // No version header: Ironic then answers with the node's UUID alone.
      headers: {
        Accept: "application/json",
        "Content-Type": "application/json",
        ...(requestId === null ? {} : { "X-OpenStack-Request-ID": requestId }),
      },
      body,
      tls: {
        ...this.#tls,
        minVersion: config.get("tls_min_version"),
        ciphers: config.get("tls_cipher_suites"),
      },
      proxy: proxyFor(url, this.#proxies),
      timeout: config.get("http_request_timeout"),
      signal,
    });
    return { status: response.status, body: await response.text() };
  }
}

/** URLs to post to with only Ironic's API known. */
export function continueInspectionUrls(apiUrls: readonly string[]): string[] {
  return apiUrls.map((url) => `${url}${CONTINUE_PATH}`);
}

/** Null when the answer names no node: the service does not always know it yet. */
export function parseNodeUuid({ body }: ApiAnswer): string | null {
  const uuid = member(parseJson(body), "uuid");
  return typeof uuid === "string" && uuid !== "" ? uuid : null;
}

/** Inspector has a form of its own, `{"error": {"message": …}}`. */
export function describeInspectorFailure(answer: ApiAnswer): string {
  const message = member(member(parseJson(answer.body), "error"), "message");
  return typeof message === "string" ? `Error ${answer.status}: ${message}` : describeFailure(answer);
}
