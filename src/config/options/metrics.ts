// Options of the metrics that the agent sends.

import type { OptionTable } from "../option-spec.ts";

export const METRICS = {
  "metrics.backend": {
    type: "string",
    default: "noop",
    choices: ["noop", "statsd", "collector"],
    since: "1.5.0",
    help: "Where metrics are sent: to a statsd server, or nowhere; GET /metrics has them in any case.",
  },
  "metrics.prepend_host": {
    type: "bool",
    default: false,
    since: "1.5.0",
    help: "Put the host's name in front of the names of metrics.",
  },
  "metrics.prepend_host_reverse": {
    type: "bool",
    default: true,
    since: "1.5.0",
    help: "Turn the labels of that name round, the domain first.",
  },
  "metrics.prepend_uuid": {
    type: "bool",
    default: false,
    since: "own",
    help: "Put the node's UUID in front of the names of metrics, once the node is known.",
  },
  "metrics.global_prefix": {
    type: "string",
    default: null,
    since: "1.5.0",
    help: "Put this in front of the names of all metrics.",
  },
  "metrics_statsd.statsd_host": {
    type: "string",
    default: "localhost",
    pattern: /\S/,
    form: "a host name or an address",
    since: "1.5.0",
    help: "Host of the statsd server.",
  },
  "metrics_statsd.statsd_port": {
    type: "port",
    default: 8125,
    since: "1.5.0",
    help: "UDP port of the statsd server.",
  },
} as const satisfies OptionTable;
