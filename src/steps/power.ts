// standby.run_image and power_off: the machine reboots or goes off. The command's answer must be out before this is called.
// The polite ways come first; the kernel's sysrq acts like the reset button and is the last resort.
// Source: deploy specification 6.3 and 6.4.

import type { Config } from "../config/config.ts";
import { HostGuard } from "../disk/host-guard.ts";
import { ClockSyncError, errorText, SystemRebootError } from "../errors.ts";
import { ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { syncClock } from "./clock-sync.ts";
import type { Deployment } from "./deployment.ts";
import { stopIscsiTarget } from "./iscsi-target.ts";
import { flushFileSystems } from "./sync.ts";

export type PowerCommand = "reboot" | "poweroff";

export type PowerContext = {
  readonly system: System;
  readonly config: Config;
  readonly signal: AbortSignal;
  readonly deployment: Deployment;
};

const SYSRQ = { reboot: "b", poweroff: "o" } as const;
/** Seconds an init system gets to take the machine down before it is done by force. */
const GRACE = 60;
/** Seconds for it to unmount and go when its services are not asked any more. */
const FORCED_GRACE = 10;
const HWCLOCK_TIMEOUT = 30;

/**
 * Sets the hardware clock, flushes, and reboots or powers off. Returns when the machine has been told; it is gone soon after.
 * @throws SystemRebootError when every way failed, or outside a ramdisk without --allow-host-disks: a conductor that found the
 *   wrong machine must not take it down; ClockSyncError only if the option fail_if_clock_not_set is on.
 */
export async function changePower(context: PowerContext, command: PowerCommand): Promise<void> {
  const { system, config, signal } = context;
  const guard = new HostGuard(system, { allowHostDisks: config.get("allow_host_disks") });
  if (!config.get("allow_host_disks") && !(await guard.inRamdisk()))
    throw new SystemRebootError(
      `Refused to ${command}: the agent does not run from a ramdisk, so this looks like a machine in use. On a test ` +
        "machine that may go down, start the agent with --allow-host-disks.",
    );
  await syncClock(system, context.config, signal);
  await setHardwareClock(context);
  await withdrawDisk(context);
  await flush(system, signal);
  if (!(await ask(system, command, signal))) {
    await force(context, command);
    return;
  }
  // Not awaited: the answer must not wait for it, and normally the machine is gone long before.
  void insist(context, command).catch((error: unknown) => {
    system.log.error(`The machine does not ${command}`, error);
  });
}

/** A machine whose hardware clock is wrong boots its system with wrong time; most ramdisks can do without. */
async function setHardwareClock({ system, config, signal }: PowerContext): Promise<void> {
  try {
    await system.run(["hwclock", "-v", "--systohc"], { timeout: HWCLOCK_TIMEOUT, signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ProgramMissingError) {
      // Not asked for by anybody: a ramdisk that cannot set its clock must still be able to end.
      system.log.warning(`the hardware clock stays as it is: ${errorText(error)}`);
      return;
    }
    const failure = new ClockSyncError(`Failed to sync hardware clock: ${errorText(error)}`, {
      cause: error,
    });
    if (config.get("fail_if_clock_not_set")) throw failure;
    system.log.warning("Going on with the hardware clock as it is", failure);
  }
}

/** Nobody is to write any more; but a target that does not go is no reason to stay. */
async function withdrawDisk(context: PowerContext): Promise<void> {
  try {
    await stopIscsiTarget(context);
  } catch (error) {
    context.system.log.warning(errorText(error));
  }
}

async function flush(system: System, signal: AbortSignal): Promise<void> {
  try {
    await flushFileSystems(system, signal);
  } catch (error) {
    signal.throwIfAborted();
    system.log.warning(`cannot flush the file systems before the power changes: ${errorText(error)}`);
  }
}

/** True when a program took the order. In a chroot, `reboot` says that it ignores the request, and exits with 0. */
async function ask(system: System, command: PowerCommand, signal: AbortSignal): Promise<boolean> {
  for (const argv of [[command], ["systemctl", command]]) {
    try {
      const { stderr } = await system.run(argv, { signal });
      if (!stderr.toLowerCase().includes("ignoring request")) return true;
      system.log.warning(`${argv.join(" ")} did nothing: ${stderr.trim()}`);
    } catch (error) {
      signal.throwIfAborted();
      system.log.warning(errorText(error));
    }
  }
  return false;
}

/** For a machine that is still there a minute after it took the order. */
async function insist(context: PowerContext, command: PowerCommand): Promise<void> {
  const { system, signal } = context;
  try {
    await system.clock.sleep(GRACE, signal);
  } catch {
    return; // the agent is being ended, which is what a machine going down does to it
  }
  system.log.warning(`The machine is still running ${GRACE} s after ${command}, forcing it`);
  await forceBySystemd(context, command);
  await force(context, command);
}

/** Without asking the services that did not want to end; returns only if the machine is still there. */
async function forceBySystemd({ system, signal }: PowerContext, command: PowerCommand): Promise<void> {
  try {
    await system.run(["systemctl", "--force", command], { signal });
    await system.clock.sleep(FORCED_GRACE, signal);
  } catch (error) {
    signal.throwIfAborted();
    system.log.warning(errorText(error));
  }
}

/** @throws SystemRebootError */
async function force({ system, config, signal }: PowerContext, command: PowerCommand): Promise<void> {
  const guard = new HostGuard(system, { allowHostDisks: config.get("allow_host_disks") });
  if (!(await guard.inRamdisk()))
    throw new SystemRebootError(
      `Neither ${command} nor systemctl ${command} worked, and the agent does not force it: it does not run ` +
        "from a ramdisk, so this looks like a machine in use.",
    );
  try {
    await flush(system, signal);
    await system.files.writeInPlace("/proc/sysrq-trigger", SYSRQ[command]);
  } catch (error) {
    throw new SystemRebootError(
      `${command} and systemctl ${command} failed (see the log), and so did the kernel's sysrq: ${errorText(error)}`,
      { cause: error },
    );
  }
}
