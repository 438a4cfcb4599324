// The iSCSI target in user space (tgtd), for kernels without one. It is told what to do by `tgtadm`, over a control port of our
// own: a tgtd that somebody else runs on the machine keeps its targets. Source: deploy specification 7.3 and 7.4.

import { errorText, ISCSICommandError } from "../errors.ts";
import { lastLines, ProgramFailedError, type ProgramResult } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { hasIpv6, type TargetRequest } from "./lio-target.ts";

/** Names the daemon's socket; the default is 0. */
const CONTROL_PORT = "6401";
/** The daemon listens there by itself, on IPv4 and IPv6. */
const DEFAULT_PORT = 3260;
/** The socket is not there at once. */
const SHOW_ATTEMPTS = 10;
const SYNC_TIMEOUT = 3600;

const TARGET = ["--mode", "target", "--op"] as const;

export type TgtTarget = {
  /** tgtd's number of it. */
  readonly id: number;
  readonly iqn: string;
  /** Paths of what it offers. */
  readonly stores: readonly string[];
};

/**
 * Starts the daemon, unless it runs, and offers a disk as LUN 1 to whoever connects; an earlier offer of the same disk by the same
 * name is replaced. Stops at the first failure, and takes back what it has made. @returns the number of the target
 * @throws ISCSICommandError
 */
export async function createTgtTarget(
  system: System,
  { iqn, disk, port }: TargetRequest,
  signal: AbortSignal,
): Promise<number> {
  const order = (failure: string, argv: readonly string[]) =>
    named(signal, failure, () => tgtadm(system, argv, { signal }));
  // It goes into the background by itself; a second one ends at once, in the background too.
  await named(signal, "Unable to start the ISCSI daemon", () =>
    system.run(["tgtd", "-C", CONTROL_PORT], { signal }),
  );
  const { stdout } = await named(signal, "ISCSI daemon didn't initialize", () =>
    tgtadm(system, [...TARGET, "show"], { attempts: SHOW_ATTEMPTS, signal }),
  );
  const targets = parseTgtTargets(stdout);
  const former = targets.find((target) => target.iqn === iqn && target.stores.includes(disk));
  if (former !== undefined) await deleteTarget(system, former.id);
  if (port !== DEFAULT_PORT)
    await named(signal, `Error when adding a new portal with portal_port ${port}`, () =>
      openPortals(system, port, signal),
    );
  const id = freeId(targets.filter((target) => target !== former));
  const tid = ["--tid", String(id)];
  await order(`Error when adding a new target for iqn ${iqn}`, [
    ...[...TARGET, "new", ...tid, "--targetname", iqn],
  ]);
  try {
    const unit = ["--mode", "logicalunit", "--op", "new", ...tid, "--lun", "1", "--backing-store", disk];
    await order(`Error when adding a new logical unit for iqn ${iqn}`, unit);
    await order(`Error when enabling the target to accept the specific initiators for iqn ${iqn}`, [
      ...TARGET,
      "bind",
      ...tid,
      "--initiator-address",
      "ALL",
    ]);
  } catch (error) {
    await deleteTarget(system, id).catch((left: unknown) => {
      system.log.warning(`a part of the iSCSI target stays behind: ${errorText(left)}`);
    });
    throw error;
  }
  return id;
}

/**
 * Takes the disk back, with whoever is logged in to it, and ends the daemon if that was its last target.
 * @throws ProgramFailedError if what was written could not be flushed
 */
export async function removeTgtTarget(system: System, id: number): Promise<void> {
  const attempt = async (work: () => Promise<unknown>) => {
    try {
      await work();
    } catch (error) {
      system.log.warning(`taking the iSCSI target back: ${errorText(error)}`);
    }
  };
  await attempt(() =>
    tgtadm(system, [...TARGET, "unbind", "--tid", String(id), "--initiator-address", "ALL"]),
  );
  // It writes by the page cache.
  await system.run(["sync"], { timeout: SYNC_TIMEOUT });
  await attempt(() => deleteTarget(system, id));
  await attempt(() => tgtadm(system, ["--mode", "system", "--op", "delete"]));
}

/** What `tgtadm --mode target --op show` prints. */
export function parseTgtTargets(output: string): TgtTarget[] {
  const targets: { id: number; iqn: string; stores: string[] }[] = [];
  for (const line of output.split("\n")) {
    const [, id, iqn] = /^Target (\d+): (\S+)$/.exec(line) ?? [];
    if (id !== undefined && iqn !== undefined) targets.push({ id: Number(id), iqn, stores: [] });
    const [, store] = /^\s+Backing store path: (.+)$/.exec(line) ?? [];
    if (store !== undefined && store !== "None") targets.at(-1)?.stores.push(store);
  }
  return targets;
}

function freeId(targets: readonly TgtTarget[]): number {
  let id = 1;
  while (targets.some((target) => target.id === id)) id++;
  return id;
}

/** On all addresses; a daemon that ran before may listen there already. */
async function openPortals(system: System, port: number, signal: AbortSignal): Promise<void> {
  const portal = ["--mode", "portal", "--op"];
  for (const everywhere of (await hasIpv6(system)) ? ["0.0.0.0", "[::]"] : ["0.0.0.0"]) {
    const address = `${everywhere}:${port}`;
    try {
      await tgtadm(system, [...portal, "new", "--param", `portal=${address}`], { signal });
    } catch (error) {
      const { stdout } = await tgtadm(system, [...portal, "show"], { signal });
      if (!stdout.includes(`Portal: ${address},`)) throw error;
    }
  }
}

async function deleteTarget(system: System, id: number): Promise<void> {
  await tgtadm(system, [...TARGET, "delete", "--force", "--tid", String(id)]);
}

function tgtadm(
  system: System,
  argv: readonly string[],
  options: { readonly attempts?: number; readonly signal?: AbortSignal } = {},
): Promise<ProgramResult> {
  return system.run(["tgtadm", "-C", CONTROL_PORT, "--lld", "iscsi", ...argv], options);
}

/** @throws ISCSICommandError saying which order failed, and what the program said */
async function named<T>(signal: AbortSignal, failure: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    const ending =
      error instanceof ProgramFailedError
        ? { exitCode: error.exitCode, stdout: lastLines(error.stdout), stderr: lastLines(error.stderr) }
        : { exitCode: null, stdout: "", stderr: errorText(error) };
    throw new ISCSICommandError(failure, ending, { cause: error });
  }
}
