// Options of the inspection: what is collected and where it is sent.

import type { OptionTable } from "../option-spec.ts";
import { MDNS_OR_URLS, MDNS_OR_URLS_FORM } from "./url-list.ts";

export const INSPECTION = {
  inspection_callback_url: {
    type: "string",
    default: null,
    pattern: MDNS_OR_URLS,
    form: MDNS_OR_URLS_FORM,
    kernel: "ipa-inspection-callback-url",
    since: "1.0.0",
    help:
      "URL that inspection data are posted to; several, separated by commas, are tried in order; mdns looks for it " +
      "by multicast DNS.",
  },
  inspection_collectors: {
    type: "list",
    default: null,
    kernel: "ipa-inspection-collectors",
    since: "1.0.0",
    help:
      "Collectors to run, in this order; unset means default,logs. Set without inspection_callback_url, the data go " +
      "to api_url.",
  },
  inspection_dhcp_wait_timeout: {
    type: "int",
    default: 60,
    min: 0,
    kernel: "ipa-inspection-dhcp-wait-timeout",
    since: "1.2.1",
    help: "Seconds to wait for DHCP before the inspection; 0 does not wait.",
  },
  inspection_dhcp_all_interfaces: {
    type: "bool",
    default: false,
    kernel: "ipa-inspection-dhcp-all-interfaces",
    since: "1.2.1",
    help: "Wait for DHCP on all interfaces instead of the one the machine booted from.",
  },
  inspection_benchmarks: {
    type: "list",
    default: [],
    kernel: "ipa-inspection-benchmarks",
    since: "1.0.0",
    help: "Benchmarks that the collector extra-hardware runs: cpu, mem, disk.",
  },
  introspection_daemon: {
    type: "bool",
    default: false,
    since: "4.0.0",
    help: "ironic-collect-introspection-data only: post again and again.",
  },
  introspection_daemon_post_interval: {
    type: "int",
    default: 300,
    min: 1,
    since: "4.0.0",
    help: "Seconds between two posts of that daemon.",
  },
} as const satisfies OptionTable;
