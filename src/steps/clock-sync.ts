// Setting the software clock from a time server, with whichever of chrony and ntpdate the ramdisk has: certificates and
// logs need the right time, and many machines come up with a wrong one.
// Source: control-plane specification 9.5 and DEV-29.

import type { Config } from "../config/config.ts";
import { ClockSyncError, errorText } from "../errors.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";

/** Seconds; both tools wait for several answers of the server. */
const SYNC_TIMEOUT = 120;
/** Neither tool may take it for an option or for a second word of its configuration. */
const HOST = /^[A-Za-z0-9:_][A-Za-z0-9.:_-]{0,252}$/;

/**
 * Does nothing without ntp_server.
 * @throws ClockSyncError, but only if fail_if_clock_not_set is on; otherwise a failure is logged.
 */
export async function syncClock(system: System, config: Config, signal: AbortSignal): Promise<void> {
  const server = config.get("ntp_server");
  if (server === null || server === "") return;
  try {
    await setClock(system, server, signal);
    system.log.info(`The clock was set by ${server}`);
  } catch (error) {
    signal.throwIfAborted();
    const failure = new ClockSyncError(`Failed to sync time with ${server}: ${errorText(error)}`, {
      cause: error,
    });
    if (config.get("fail_if_clock_not_set")) throw failure;
    system.log.error("Going on with the clock as it is", failure);
  }
}

async function setClock(system: System, server: string, signal: AbortSignal): Promise<void> {
  if (!HOST.test(server)) throw new Error("ntp_server must be a host name or an address");
  if (await isInstalled(system, ["chronyd", "-h"], signal)) {
    await stopChronyDaemon(system, signal);
    await system.run(["chronyd", "-q", `server ${server} iburst`], { timeout: SYNC_TIMEOUT, signal });
  } else if (await isInstalled(system, ["ntpdate", "-v"], signal)) {
    await system.run(["ntpdate", server], { timeout: SYNC_TIMEOUT, signal });
  } else throw new Error("neither chronyd nor ntpdate is installed");
}

/** A program that can be started is there, whatever it then says about the argument. */
async function isInstalled(system: System, argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  try {
    await system.run(argv, { timeout: 10, signal });
    return true;
  } catch (error) {
    if (error instanceof ProgramFailedError) return true;
    if (error instanceof ProgramMissingError) return false;
    throw error;
  }
}

/** A running chronyd holds the clock; 1 means that none runs. Ramdisks that never start one may leave chronyc out. */
async function stopChronyDaemon(system: System, signal: AbortSignal): Promise<void> {
  try {
    await system.run(["chronyc", "shutdown"], { allowedExitCodes: [0, 1], timeout: 10, signal });
  } catch (error) {
    if (!(error instanceof ProgramMissingError)) throw error;
    system.log.debug("chronyc is not installed: no running chronyd is looked for");
  }
}
