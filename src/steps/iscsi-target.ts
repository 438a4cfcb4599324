// iscsi.start_iscsi_target: offers the install disk to the conductor, which then writes the image itself. Conductors up to Wallaby
// deploy so with `deploy_interface = iscsi`. The target goes when the boot loader is to be installed, or before the machine
// goes down. Source: deploy specification, chapter 7.

import { requireFree } from "../disk/device-users.ts";
import { HostGuard } from "../disk/host-guard.ts";
import {
  createLioTarget,
  findLioStorage,
  LioMissingError,
  openLio,
  removeLioTarget,
} from "../disk/lio-target.ts";
import { createTgtTarget, removeTgtTarget } from "../disk/tgt-target.ts";
import { wipeDiskMetadata } from "../disk/wipe.ts";
import { CommandExecutionError, errorText, InvalidCommandParamsError, ISCSIError } from "../errors.ts";
import type { System } from "../system/system.ts";
import type { OfferedDisk } from "./deployment.ts";
import type { StepContext } from "./step.ts";

export type IscsiContext = Pick<StepContext, "system" | "config" | "signal" | "installDevice" | "deployment">;

export type IscsiRequest = {
  /** Null: a name is made up. */
  readonly iqn: string | null;
  readonly port: number;
  readonly wipeDiskMetadata: boolean;
};

export const DEFAULT_PORTAL_PORT = 3260;
const IQN_PREFIX = "iqn.2008-10.org.openstack:";
/** RFC 3720's name: the month in which somebody owned a domain, the domain, and what its owner likes. */
const IQN = /^iqn\.\d{4}-(?:0[1-9]|1[0-2])\.[A-Za-z0-9-]+\.[A-Za-z0-9.:-]+$/;
const IQN_LIMIT = 223;

/** @throws InvalidCommandParamsError */
export function validateIscsiRequest({ iqn, port }: IscsiRequest): void {
  if (iqn !== null && (iqn.length > IQN_LIMIT || !IQN.test(iqn)))
    throw new InvalidCommandParamsError(
      `'iqn' must be an iSCSI qualified name (iqn.YYYY-MM.domain:name, without blank and underscore), not '${iqn}'`,
    );
  if (port < 1 || port > 65_535)
    throw new InvalidCommandParamsError(`'portal_port' must be between 1 and 65535, not ${port}`);
}

/**
 * @returns the target's name
 * @throws ISCSIError, ISCSICommandError if the disk cannot be offered; DeploymentError if its old metadata cannot be wiped;
 *   HostDiskError
 */
export async function startIscsiTarget(context: IscsiContext, request: IscsiRequest): Promise<string> {
  const { system, config, deployment } = context;
  const iqn = request.iqn ?? `${IQN_PREFIX}${crypto.randomUUID()}`;
  const disk = await context.installDevice({ refresh: true });
  const guard = new HostGuard(system, { allowHostDisks: config.get("allow_host_disks") });
  await guard.assertMayDestroy(disk, "offer over iSCSI");
  await deployment.offered?.withdraw();
  deployment.offered = null;
  // What was written by this agent is about to be overwritten by somebody else.
  deployment.clear();
  const withdraw = await offer(context, { iqn, disk, port: request.port }, request.wipeDiskMetadata);
  deployment.offered = { iqn, disk, withdraw };
  system.log.info(`${disk} is offered as LUN 1 of ${iqn} on port ${request.port}`);
  return iqn;
}

/**
 * Takes back the disk that this run of the agent has offered. @returns false if it has not
 * @throws ISCSIError, CommandExecutionError
 */
export async function stopIscsiTarget({
  system,
  deployment,
}: Pick<IscsiContext, "system" | "deployment">): Promise<boolean> {
  const { offered } = deployment;
  if (offered === null) return false;
  system.log.info(`${offered.disk} was written over iSCSI: ending the target ${offered.iqn}`);
  try {
    await offered.withdraw();
  } catch (error) {
    if (error instanceof ISCSIError) throw error;
    throw new CommandExecutionError(
      `The iSCSI target ${offered.iqn} of ${offered.disk} could not be ended: ${errorText(error)}`,
      { cause: error },
    );
  }
  deployment.offered = null;
  return true;
}

/** By the kernel's target, or if there is none by tgtd. */
async function offer(
  context: IscsiContext,
  target: { readonly iqn: string; readonly disk: string; readonly port: number },
  wipe: boolean,
): Promise<OfferedDisk["withdraw"]> {
  const { system, signal } = context;
  const { disk } = target;
  let hasLio = true;
  try {
    await openLio(system, signal);
  } catch (error) {
    if (!(error instanceof LioMissingError)) throw error;
    system.log.warning(`${errorText(error)}; using tgtd`);
    hasLio = false;
  }
  // Of an agent that has ended meanwhile: the kernel keeps it.
  if (hasLio && (await findLioStorage(system, disk))?.iqn === target.iqn) await removeLioTarget(system, disk);
  if (wipe) await wipeDiskMetadata(system, disk, signal);
  await requireUnused(system, disk);
  if (hasLio) {
    await createLioTarget(system, target);
    return () => removeLioTarget(system, disk);
  }
  const id = await createTgtTarget(system, target, signal);
  return () => removeTgtTarget(system, id);
}

/** The initiator must be the only one who writes. @throws ISCSIError */
async function requireUnused(system: System, disk: string): Promise<void> {
  try {
    await requireFree(system, disk);
  } catch (error) {
    throw new ISCSIError(`Failed to create a target: ${errorText(error)}`, { cause: error });
  }
}
