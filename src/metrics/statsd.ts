// Sends measurements to a statsd server: one datagram each, unconfirmed. A server that is not there costs a warning and
// nothing else.
// Source of the format: control-plane specification 9.6.

import { errorText } from "../errors.ts";
import type { Logger } from "../system/log.ts";
import type { System } from "../system/system.ts";
import type { UdpSocket } from "../system/udp.ts";
import type { MetricKind } from "./recorder.ts";

export type StatsdOptions = {
  /** Name or address. */
  readonly host: string;
  readonly port: number;
  /** Put before every name, with its dot at the end; may be empty. */
  readonly prefix: string;
};

/** Seconds until a server whose name could not be resolved is looked for again. */
const PAUSE_AFTER_FAILURE = 60;
/** Seconds between two warnings: there may be a thousand measurements in them. */
const WARNING_PAUSE = 600;
/** Datagrams that may wait for the name to be resolved; later ones are dropped. */
const MAX_WAITING = 100;

type Destination = { readonly socket: UdpSocket; readonly address: string };

export class StatsdClient {
  readonly #system: Pick<System, "openUdp" | "resolveHost" | "clock">;
  readonly #log: Logger;
  readonly #options: StatsdOptions;
  #destination: Promise<Destination | null> | null = null;
  /** Monotonic seconds before which no attempt is made. */
  #notBefore = Number.NEGATIVE_INFINITY;
  #waiting = 0;
  #lastWarning = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(
    system: Pick<System, "openUdp" | "resolveHost" | "clock">,
    log: Logger,
    options: StatsdOptions,
  ) {
    this.#system = system;
    this.#log = log;
    this.#options = options;
  }

  /** Returns at once and never throws. `value`: seconds of a timer, increment of a counter, value of a gauge. */
  send(kind: MetricKind, name: string, value: number): void {
    for (const text of statsdLines(`${this.#options.prefix}${name}`, kind, value)) void this.#sendText(text);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await (await this.#destination)?.socket.close();
  }

  /** Never rejects. */
  async #sendText(text: string): Promise<void> {
    if (this.#closed || this.#waiting >= MAX_WAITING) return;
    this.#waiting++;
    try {
      const destination = await this.#find();
      if (destination === null || this.#closed) return;
      await destination.socket.send(text, this.#options.port, destination.address);
    } catch (error) {
      this.#warn(error);
    } finally {
      this.#waiting--;
    }
  }

  /** The socket and where to send; null for the time after a failure. */
  #find(): Promise<Destination | null> {
    if (this.#destination === null) {
      if (this.#system.clock.monotonic() < this.#notBefore) return Promise.resolve(null);
      this.#destination = this.#open();
    }
    return this.#destination;
  }

  /** Never rejects: close() waits for it too. */
  async #open(): Promise<Destination | null> {
    try {
      const addresses = await this.#system.resolveHost(this.#options.host);
      // The reference speaks IPv4 only, and statsd servers on the same name may do the same.
      const address = addresses.find((candidate) => !candidate.includes(":")) ?? addresses[0];
      if (address === undefined) throw new Error(`${this.#options.host} has no address`);
      const family = address.includes(":") ? "IPv6" : "IPv4";
      return { socket: await this.#system.openUdp({ family }), address };
    } catch (error) {
      this.#destination = null;
      this.#notBefore = this.#system.clock.monotonic() + PAUSE_AFTER_FAILURE;
      this.#warn(error);
      return null;
    }
  }

  #warn(error: unknown): void {
    const now = this.#system.clock.monotonic();
    if (now - this.#lastWarning < WARNING_PAUSE) return;
    this.#lastWarning = now;
    const { host, port } = this.#options;
    this.#log.warning(`Metrics do not get to statsd at ${host} port ${port}: ${errorText(error)}`);
  }
}

/** The datagrams of one measurement. */
export function statsdLines(name: string, kind: MetricKind, value: number): string[] {
  switch (kind) {
    case "timer":
      // Milliseconds; never in exponential form, which servers do not read.
      return [`${name}:${(value * 1000).toFixed(3)}|ms`];
    case "counter":
      return [`${name}:${plainNumber(value)}|c`];
    case "gauge":
      // A sign means "change by" to statsd, so a negative value is set by way of zero.
      return [...(value < 0 ? [`${name}:0|g`] : []), `${name}:${plainNumber(value)}|g`];
  }
}

function plainNumber(value: number): string {
  return Number.isSafeInteger(value) ? String(value) : value.toFixed(6);
}
