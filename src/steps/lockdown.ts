// Cutting a machine off from the network, for an agent that goes on running where a tenant could reach it, or that lost its token and
// can never be commanded again. Source: control-plane specification 1.6 and DEV-30.

import type { Config } from "../config/config.ts";
import { HostGuard } from "../disk/host-guard.ts";
import { CommandExecutionError, errorText } from "../errors.ts";
import type { System } from "../system/system.ts";

/** Seconds for `ip`. */
const LINK_TIMEOUT = 10;

/** @throws CommandExecutionError on a machine that does not look like one the agent was booted on. */
export async function assertMayLockDown(system: System, config: Config): Promise<void> {
  if (await mayLockDown(system, config)) return;
  throw new CommandExecutionError(
    "Refused to take the network interfaces down: the agent does not run from a ramdisk, so this looks like a machine in " +
      "use. On a test machine that may go off the network, start the agent with --allow-host-disks.",
  );
}

export async function mayLockDown(system: System, config: Config): Promise<boolean> {
  if (config.get("allow_host_disks")) return true;
  return new HostGuard(system, { allowHostDisks: false }).inRamdisk();
}

/** Sets each interface down; one that does not want to is a warning, and the others follow. */
export async function takeInterfacesDown(system: System, names: readonly string[]): Promise<void> {
  for (const name of names) {
    try {
      await setLinkDown(system, name);
      system.log.info(`Network interface ${name} is down`);
    } catch (error) {
      system.log.warning(`Network interface ${name} stays as it is: ${errorText(error)}`);
    }
  }
}

async function setLinkDown(system: System, name: string): Promise<void> {
  await system.run(["ip", "link", "set", name, "down"], { timeout: LINK_TIMEOUT });
}
