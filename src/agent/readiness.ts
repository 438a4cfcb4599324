// What the agent makes sure of, or complains about, before it calls anybody.

import type { Config } from "../config/config.ts";
import type { HardwareManagers } from "../hardware/managers.ts";
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
