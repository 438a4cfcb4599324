// The metrics of one agent: measured from its first second, sent to statsd when the options or Ironic's answer to the lookup
// say so. Memory and GET /metrics have them whatever the backend is.
// Source: control-plane specification 9.6, 2.6.6 and DEV-23.

import type { Config } from "../config/config.ts";
import type { System } from "../system/system.ts";
import { MetricsRecorder } from "./recorder.ts";
import { StatsdClient } from "./statsd.ts";

export class AgentMetrics extends MetricsRecorder {
  readonly #system: System;
  readonly #config: Config;
  #statsd: StatsdClient | null = null;

  constructor(system: System, config: Config) {
    super(system.clock, system.log.named("ironic_agent.metrics"));
    this.#system = system;
    this.#config = config;
  }

  /** Takes the options as they are now. Call at the start, and when Ironic has changed them (`nodeUuid` is known then). */
  async configure(nodeUuid: string | null = null): Promise<void> {
    const log = this.#system.log.named("ironic_agent.metrics");
    const before = this.#statsd;
    this.#statsd = null;
    this.sendTo(null);
    await before?.close();
    if (this.#config.get("metrics.backend") !== "statsd") return;
    const [host, port] = [
      this.#config.get("metrics_statsd.statsd_host"),
      this.#config.get("metrics_statsd.statsd_port"),
    ];
    const prefix = metricPrefix(this.#config, this.#system.hostname, nodeUuid);
    const statsd = new StatsdClient(this.#system, log, { host, port, prefix });
    this.#statsd = statsd;
    this.sendTo((kind, name, value) => statsd.send(kind, name, value));
    log.info(`Sending metrics to statsd at ${host} port ${port}`);
  }

  async stop(): Promise<void> {
    this.sendTo(null);
    await this.#statsd?.close();
  }
}

/** `[global_prefix.][node uuid.][host.]`: the order Ironic documents for its agents. */
export function metricPrefix(config: Config, hostname: string, nodeUuid: string | null): string {
  const host = config.get("metrics.prepend_host_reverse")
    ? hostname.split(".").reverse().join(".")
    : hostname;
  const parts = [
    config.get("metrics.global_prefix"),
    config.get("metrics.prepend_uuid") ? nodeUuid : null,
    config.get("metrics.prepend_host") ? host : null,
  ];
  return parts.map((part) => (part === null || part === "" ? "" : `${part}.`)).join("");
}
