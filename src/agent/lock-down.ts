// Takes the network of a machine away that must not be reached any more: it may be in a tenant's hands, or nobody can command
// the agent on it.
// Source: control-plane specification 1.6 and DEV-30.

import type { Config } from "../config/config.ts";
import type { HardwareManagers } from "../hardware/managers.ts";
import { mayLockDown, takeInterfacesDown } from "../steps/lockdown.ts";
import type { Logger } from "../system/log.ts";
import type { System } from "../system/system.ts";

/** Does nothing on a machine that was not booted for the agent. Never rejects: the agent would end, and be started again. */
export async function takeNetworkDown(
  system: System,
  config: Config,
  managers: HardwareManagers,
  log: Logger,
): Promise<void> {
  try {
    if (!(await mayLockDown(system, config))) {
      log.warning(
        "The network interfaces stay up, because this does not look like a machine booted for the agent",
      );
      return;
    }
    const interfaces = await managers.dispatch("listNetworkInterfaces", { collectLldp: false });
    await takeInterfacesDown(
      system,
      interfaces.map(({ name }) => name),
    );
    log.info("The agent is locked down: its API and the machine's network are off, and it only waits");
  } catch (error) {
    log.error("The agent could not be locked down entirely", error);
  }
}
