// Software RAID arrays that lack a member. Udev puts an array together as its members appear, and leaves it inactive until the last
// one has; mdadm's own timer, which starts it without the missing one, needs systemd, and comes too late for an agent that
// is already looking for the root device. An array that is not started is no disk: its members would be offered one by one
// instead, and an image written over one of them. Rules: mdadm's 64-md-raid-assembly.rules and mdadm-last-resort@.timer.

import { kernelName } from "../disk/block-tree.ts";
import { listArrays } from "../disk/md-arrays.ts";
import { errorText } from "../errors.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";

const CLASS = "/sys/class/block";
/** Seconds that mdadm's timer gives disks that are late. */
const PATIENCE = 30;
const TIMEOUT = 180;

/** Starts what lacks members, after these have had time to appear. What cannot run without them stays as it is. */
export async function startDegradedArrays(system: System, signal?: AbortSignal): Promise<void> {
  let waiting = await inactiveArrays(system);
  if (waiting.length === 0) return;
  system.log.info(`${waiting.join(", ")} lack members; giving these ${PATIENCE} seconds to appear`);
  for (let second = 0; second < PATIENCE && waiting.length > 0; second += 1) {
    await system.clock.sleep(1, signal);
    waiting = await inactiveArrays(system);
  }
  if (waiting.length === 0) return;
  try {
    await system.run(["mdadm", "--incremental", "--run", "--scan"], { timeout: TIMEOUT });
  } catch (error) {
    if (!(error instanceof ProgramFailedError || error instanceof ProgramMissingError)) throw error;
    system.log.warning(`starting arrays that lack members: ${errorText(error)}`);
  }
  const left = await inactiveArrays(system);
  const started = waiting.filter((array) => !left.includes(array));
  if (started.length > 0) system.log.warning(`started ${started.join(", ")}, members of which are missing`);
  if (left.length > 0)
    system.log.warning(`${left.join(", ")} cannot be started without the members that are missing`);
}

/** Not the containers of firmware RAID, which never run themselves. */
async function inactiveArrays(system: System): Promise<string[]> {
  const inactive: string[] = [];
  for (const array of await listArrays(system)) {
    const directory = `${CLASS}/${await kernelName(system, array)}/md`;
    const state = await system.files.readAttribute(`${directory}/array_state`);
    const metadata = await system.files.readAttribute(`${directory}/metadata_version`);
    if (state === "inactive" && metadata?.startsWith("external:") !== true) inactive.push(array);
  }
  return inactive;
}
