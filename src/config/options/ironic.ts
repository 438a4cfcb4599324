// Options of the agent's client of Ironic and of finding Ironic by multicast DNS.

import type { OptionTable } from "../option-spec.ts";
import { MDNS_OR_URLS, MDNS_OR_URLS_FORM } from "./url-list.ts";

export const IRONIC = {
  api_url: {
    type: "string",
    default: null,
    pattern: MDNS_OR_URLS,
    form: MDNS_OR_URLS_FORM,
    kernel: "ipa-api-url",
    since: "1.0.0",
    help: "URL of the Ironic API; several, separated by commas, are tried in order; mdns looks for it by multicast DNS.",
  },
  global_request_id: {
    type: "string",
    default: null,
    kernel: "ipa-global-request-id",
    since: "6.4.0",
    help: "Request id sent to Ironic as X-OpenStack-Request-ID.",
  },
  lookup_timeout: {
    type: "int",
    default: 300,
    min: 0,
    kernel: "ipa-lookup-timeout",
    since: "1.0.0",
    help: "Seconds to go on trying to look up the node before the agent gives up and exits.",
  },
  lookup_interval: {
    type: "int",
    default: 1,
    min: 0,
    kernel: "ipa-lookup-interval",
    since: "1.0.0",
    help: "Seconds that the longest wait between two lookups starts at.",
  },
  agent_token: {
    type: "string",
    default: null,
    kernel: "ipa-agent-token",
    since: "6.1.0",
    secret: true,
    help: "Agent token given in advance, as conductors do with virtual media.",
  },
  agent_token_required: {
    type: "bool",
    default: false,
    kernel: "ipa-agent-token-required",
    since: "6.1.0",
    help: "Refuse commands without the agent token; Ironic can only turn this on.",
  },
  ironic_api_version: {
    type: "string",
    default: null,
    kernel: "ipa-ironic-api-version",
    since: "6.5.0",
    help: "Version of the Ironic API (such as 1.68) to take as given instead of asking for it.",
  },
  http_request_timeout: {
    type: "int",
    default: 30,
    min: 1,
    kernel: "ipa-http-request-timeout",
    since: "9.6.0",
    help: "Seconds that one request to Ironic may take; the lookup that brings the token has all of lookup_timeout.",
  },
  insecure: {
    type: "bool",
    default: false,
    kernel: "ipa-insecure",
    since: "2.0.0",
    help: "Do not verify the certificates of the servers the agent talks to.",
  },
  cafile: {
    type: "string",
    default: null,
    since: "2.0.0",
    help: "PEM file with the CAs that servers are verified with; unset, the system's are used.",
  },
  certfile: {
    type: "string",
    default: null,
    since: "2.0.0",
    help: "PEM client certificate shown to servers; needs keyfile.",
  },
  keyfile: {
    type: "string",
    default: null,
    since: "2.0.0",
    help: "PEM private key of certfile.",
  },
  standalone: {
    type: "bool",
    default: false,
    kernel: "ipa-standalone",
    since: "1.0.0",
    help: "Serve the API without ever calling Ironic.",
  },
} as const satisfies OptionTable;

export const MDNS = {
  "mdns.use_mdns": {
    type: "bool",
    default: false,
    kernel: "ipa-use-mdns",
    since: "12.0.0",
    help: "Look for the Ironic API by multicast DNS also when api_url is not set at all.",
  },
  "mdns.lookup_attempts": {
    type: "int",
    default: 3,
    min: 1,
    since: "3.7.0",
    help: "Queries to send before the service counts as not found.",
  },
  "mdns.interfaces": {
    type: "list",
    default: [],
    since: "3.7.0",
    help: "Ask only on these interfaces, given by name or by one of their addresses; empty means all.",
  },
  "mdns.allowed_overrides": {
    type: "list",
    default: ["inspection_callback_url", "ntp_server"],
    since: "12.0.0",
    help: "Options that the answer may set (as ipa_<option>); empty lets it set none.",
  },
  "mdns.params": {
    type: "string",
    default: null,
    since: "3.7.0",
    ignored: "it says what a server announces, and the agent announces nothing",
    help: "Parameters that a server announces.",
  },
  "mdns.registration_attempts": {
    type: "int",
    default: 5,
    min: 1,
    since: "3.7.0",
    ignored: "it is for servers, and the agent announces nothing",
    help: "Attempts of a server to announce itself.",
  },
} as const satisfies OptionTable;
