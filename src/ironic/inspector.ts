// Posting inspection data: to ironic-inspector, or to Ironic's own in-band inspection.
// Source: control-plane specification 8.1 (retries as in the reference from 9.7.1 on), conductor contract 8.

import type { Config } from "../config/config.ts";
import { errorText } from "../errors.ts";
import { type JsonObject, member } from "../json.ts";
import { HttpError } from "../system/http-client.ts";
import type { System } from "../system/system.ts";
import { type ApiAnswer, describeFailure, IronicApi, parseJson } from "./api-client.ts";

/** Where Ironic's API takes inspection data itself. */
const CONTINUE_PATH = "/v1/continue_inspection";

const ATTEMPTS = 5;
/** Seconds before the second attempt, doubled from then on, within these limits. */
const FIRST_WAIT = 1.5;
const SHORTEST_WAIT = 5;
const LONGEST_WAIT = 30;

/** The service answered every attempt, and never with anything but "not now". */
export class InspectorUnavailableError extends Error {}

export class Inspector {
  readonly #system: System;
  readonly #service: IronicApi;

  private constructor(system: System, service: IronicApi) {
    this.#system = system;
    this.#service = service;
  }

  /** `option`: the one that the URLs are from. @throws ConfigurationError for unusable TLS files */
  static async create(
    system: System,
    config: Config,
    { urls, option }: { readonly urls: readonly string[]; readonly option: string },
  ): Promise<Inspector> {
    const names = { name: "The inspection service", option };
    return new Inspector(system, await IronicApi.at(system, config, urls, names));
  }

  /** In the order in which they are tried. */
  get urls(): readonly string[] {
    return this.#service.urls;
  }

  /**
   * Posts until somebody gives a final answer, which may be a refusal.
   * @throws HttpError when the last attempt reached nobody, InspectorUnavailableError when it was put off,
   *   the signal's reason
   */
  async post(data: JsonObject, signal: AbortSignal): Promise<ApiAnswer> {
    const { clock, log } = this.#system;
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#attempt(data, signal);
      if ("status" in outcome && !isPassing(outcome.status)) return outcome;
      const failure =
        "status" in outcome
          ? new InspectorUnavailableError(
              `${this.urls.join(", ")} did not take the inspection data: ${describeInspectorFailure(outcome)}`,
            )
          : outcome;
      if (attempt >= ATTEMPTS) throw failure;
      const wait = Math.min(LONGEST_WAIT, Math.max(SHORTEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)));
      log.warning(
        `posting inspection data, attempt ${attempt} of ${ATTEMPTS}: ${errorText(failure)}; next in ${wait} s`,
      );
      await clock.sleep(wait, signal);
    }
  }

  /** No version is asked for: Ironic then answers with the node's UUID alone. */
  async #attempt(data: JsonObject, signal: AbortSignal): Promise<ApiAnswer | HttpError> {
    try {
      return await this.#service.request({ method: "POST", path: "", minor: null, json: data }, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof HttpError) return error;
      throw error;
    }
  }
}

/** The node is locked, or the service is in trouble: worth another try. */
function isPassing(status: number): boolean {
  return status === 409 || status >= 500;
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
