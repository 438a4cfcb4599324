// Heartbeats: how Ironic learns that the agent is there, and when it looks for what has happened. Besides the regular
// ones there are forced ones, because a conductor only reads the result of a command after a heartbeat, and loses
// a heartbeat that comes while it still holds the node's lock.
// Source: control-plane specification 5.5 and DEV-22c, conductor contract 1.3 and 1.5.

import {
  errorText,
  HeartbeatConflictError,
  HeartbeatConnectionError,
  HeartbeatError,
  type RestError,
} from "../errors.ts";
import type { JsonObject } from "../json.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Clock } from "../system/clock.ts";
import { HttpError } from "../system/http-client.ts";
import type { Logger } from "../system/log.ts";
import { API_MINOR, type ApiAnswer, describeFailure, type IronicApi } from "./api-client.ts";
import type { AgentToken } from "./token.ts";

export type HeartbeaterOptions = {
  readonly api: IronicApi;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly token: AgentToken;
  readonly nodeUuid: string;
  /** The same for the life of the process: Ironic refuses a changed one. */
  readonly callbackUrl: string;
  /** Dotted number. */
  readonly agentVersion: string;
  /** PEM of the automatic certificate, or null without automatic TLS. */
  readonly verifyCa: string | null;
  /** Seconds within which Ironic wants to hear from the agent. */
  readonly heartbeatTimeout: number;
};

/** Seconds. A conductor that has just sent a command still holds the lock this long. */
const LOCK_PAUSE = 1;
/** Seconds between a heartbeat and a forced one. */
const FORCED_SPACING = 5;
/** Repetitions of a forced heartbeat that no request of the conductor followed. */
const FORCED_REPEATS = 3;
/** Seconds until the next attempt after a failed one, times a random number from 1 to 2. */
const RETRY_PAUSE = 5;

type Forced = {
  /** Monotonic seconds before which it must not go out. */
  notBefore: number;
  sent: number;
};

export class Heartbeater {
  readonly #options: HeartbeaterOptions;
  readonly #stop = new AbortController();
  #wake = new AbortController();
  #running: Promise<void> | null = null;
  #forced: Forced | null = null;
  /** Monotonic seconds: end of the last attempt, and when the next regular one is due. */
  #lastAttempt = Number.NEGATIVE_INFINITY;
  #nextRegular = Number.NEGATIVE_INFINITY;
  #everAccepted = false;
  #rejectedBefore = false;

  constructor(options: HeartbeaterOptions) {
    this.#options = options;
  }

  /** Heartbeats at once, and from then on until stopped. Call when the API answers. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when no heartbeat is under way any more and none will follow. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake.abort();
    await this.#running;
  }

  /** An asynchronous command has ended: tell Ironic soon. `acceptedAt`: monotonic seconds when it was accepted. */
  force(acceptedAt: number): void {
    this.#forced = { notBefore: acceptedAt + LOCK_PAUSE, sent: 0 };
    this.#wake.abort();
  }

  /** The conductor has sent a request: the forced heartbeat that went out has done its work. */
  noteRequest(): void {
    if (this.#forced !== null && this.#forced.sent > 0) this.#forced = null;
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#stop.signal.aborted) {
      const wait = this.#due() - clock.monotonic();
      if (wait > 0) await this.#sleep(wait);
      else await this.#beat();
    }
  }

  /** Monotonic seconds at which the next heartbeat goes out. */
  #due(): number {
    if (this.#forced === null) return this.#nextRegular;
    const forced = Math.max(this.#forced.notBefore, this.#lastAttempt + FORCED_SPACING);
    return Math.min(forced, this.#nextRegular);
  }

  /** Ends early when something changes what is due. */
  async #sleep(seconds: number): Promise<void> {
    try {
      await this.#options.clock.sleep(seconds, this.#wake.signal);
    } catch (error) {
      if (!this.#wake.signal.aborted) throw error;
    }
    if (!this.#stop.signal.aborted && this.#wake.signal.aborted) this.#wake = new AbortController();
  }

  async #beat(): Promise<void> {
    const { clock, log, metrics, heartbeatTimeout } = this.#options;
    const forced = this.#forced;
    let accepted = false;
    try {
      await metrics.timer("ironic_python_agent.heartbeat").time(() => this.#send());
      accepted = true;
      log.debug("Heartbeat accepted");
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      metrics.counter("ironic_python_agent.heartbeat.failed").increment();
      this.#logFailure(error);
    }
    const now = clock.monotonic();
    this.#lastAttempt = now;
    this.#everAccepted ||= accepted;
    if (accepted) this.#rejectedBefore = false;
    this.#nextRegular =
      now + (accepted ? heartbeatTimeout * clock.uniform(0.3, 0.6) : RETRY_PAUSE * clock.uniform(1, 2));
    if (forced !== null && forced === this.#forced && now >= forced.notBefore) {
      forced.sent++;
      if (forced.sent > FORCED_REPEATS) this.#forced = null;
    }
  }

  /** @throws HeartbeatError or one of its kinds */
  async #send(): Promise<void> {
    const { api, nodeUuid } = this.#options;
    let answer: ApiAnswer;
    try {
      const minor = Math.min(await api.maximumMinor(this.#stop.signal), API_MINOR.agentVerifyCa);
      const path = `/v1/heartbeat/${encodeURIComponent(nodeUuid)}`;
      answer = await api.request({ method: "POST", path, minor, json: this.#body(minor) }, this.#stop.signal);
    } catch (error) {
      if (error instanceof HttpError) throw new HeartbeatConnectionError(error.message, { cause: error });
      throw new HeartbeatError(errorText(error), { cause: error });
    }
    if (answer.status === 202) return;
    if (answer.status === 406) api.forgetVersion();
    throw this.#refusal(answer);
  }

  /** Exactly what the version knows: the API refuses any other member. */
  #body(minor: number): JsonObject {
    const { callbackUrl, token, agentVersion, verifyCa } = this.#options;
    return {
      callback_url: callbackUrl,
      ...(minor >= API_MINOR.agentToken ? { agent_token: token.value } : {}),
      ...(minor >= API_MINOR.agentVersion ? { agent_version: agentVersion } : {}),
      ...(minor >= API_MINOR.agentVerifyCa && verifyCa !== null ? { agent_verify_ca: verifyCa } : {}),
    };
  }

  #refusal(answer: ApiAnswer): RestError {
    const text = describeFailure(answer);
    if (answer.status === 409) return new HeartbeatConflictError(text);
    if (answer.status === 400 && this.#everAccepted) return new RejectedAfterSuccess(text);
    if (answer.status === 400 && /tls is required/i.test(text))
      return new HeartbeatError(
        `${text} (Ironic has [agent]require_tls on and the callback URL is ${this.#options.callbackUrl}: ` +
          "leave enable_auto_tls on, or set listen_tls and advertise_protocol=https)",
      );
    return new HeartbeatError(text);
  }

  #logFailure(error: unknown): void {
    const { log } = this.#options;
    if (error instanceof RejectedAfterSuccess) {
      // Ordinary after a power-off or a teardown: Ironic has wiped the token and this machine is about to go.
      const write = this.#rejectedBefore ? log.debug : log.info;
      write(`Ironic no longer takes heartbeats: ${error.details}`);
      this.#rejectedBefore = true;
    } else if (error instanceof HeartbeatConflictError) log.warning(errorText(error));
    else log.error("Heartbeat failed", error);
  }
}

class RejectedAfterSuccess extends HeartbeatError {}
