// What the agent makes sure of, or complains about, on its way to serving its API.

import type { Config } from "../config/config.ts";
import { errorText } from "../errors.ts";
import type { HardwareManagers } from "../hardware/managers.ts";
import type { IronicApi } from "../ironic/api-client.ts";
import type { Clock } from "../system/clock.ts";
import type { Logger } from "../system/log.ts";

/** Seconds: how long to wait for a network card, and between two looks. */
const INTERFACE_PATIENCE = 60;
const INTERFACE_POLL = 5;

/** A client certificate needs both options; one alone is ignored. */
export function warnAboutHalfPairs(config: Config, log: Logger): void {
  for (const [one, other] of [
    ["certfile", "keyfile"],
    ["keyfile", "certfile"],
  ] as const)
    if (config.get(one) !== null && config.get(other) === null)
      log.warning(`${one} is set but ${other} is not: no client certificate will be used`);
}

/** Ironic's have 43 characters, and shorter ones than 32 are none to it. */
const SHORTEST_TOKEN = 32;

/** One that is too short is used all the same: a standalone agent may have whatever its operator likes. */
export function warnAboutShortToken(config: Config, log: Logger): void {
  const length = config.get("agent_token")?.length ?? 0;
  if (length > 0 && length < SHORTEST_TOKEN && !config.get("standalone"))
    log.warning(
      `agent_token has ${length} characters, and every token of Ironic's ${SHORTEST_TOKEN} or more: it was cut short or ` +
        "mistyped. Unless the lookup brings the right one, Ironic refuses the heartbeats of this agent.",
    );
}

/** Ironic calls what it is told: plain HTTP to a port that speaks TLS ends in "connection aborted" there, and in nothing here. */
export function warnAboutProtocol(config: Config, log: Logger): void {
  if (config.get("listen_tls") && config.get("advertise_protocol") === "http")
    log.warning(
      "listen_tls is on, but advertise_protocol is http: Ironic will be told to call the API without TLS, and fail. Set " +
        "advertise_protocol = https, unless something in between takes the TLS off.",
    );
}

/** Drivers may still be loading; without any network card the lookup could only fail. Never fails for a missing card. */
export async function waitForInterface(
  managers: HardwareManagers,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): Promise<void> {
  const started = clock.monotonic();
  for (;;) {
    const interfaces = await managers.dispatch("listNetworkInterfaces", { collectLldp: false });
    if (interfaces.some(({ mac_address }) => mac_address !== "")) return;
    if (clock.monotonic() - started >= INTERFACE_PATIENCE) break;
    await clock.sleep(INTERFACE_POLL, signal);
  }
  log.warning(`No network interface appeared within ${INTERFACE_PATIENCE} s; going on without`);
}

/** Without an inspection URL either, the agent is of no use to anybody but who calls its API. */
export function explainNoApiUrl(config: Config, log: Logger): void {
  const text =
    "No Ironic API URL is configured (api_url, kernel parameter ipa-api-url): this agent serves its API, " +
    "but neither looks its node up nor heartbeats.";
  if (config.get("inspection_callback_url") === null) log.error(text);
  else log.info(text);
}

/**
 * What Ironic's newest API version says about automatic TLS; null = nothing. Known since the lookup, but a standalone
 * agent with an API URL asks for this alone.
 */
export async function minorForTls(
  api: IronicApi,
  config: Config,
  log: Logger,
  signal: AbortSignal,
): Promise<number | null> {
  const automatic = config.get("enable_auto_tls") && !config.get("listen_tls");
  if (api.knownMinor !== null || !automatic) return api.knownMinor;
  try {
    return await api.maximumMinor(signal);
  } catch (error) {
    signal.throwIfAborted();
    log.warning(
      `Serving plain HTTP, because Ironic cannot be asked about automatic TLS: ${errorText(error)}`,
    );
    return null;
  }
}
