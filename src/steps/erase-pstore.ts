// The step erase_pstore: empties the persistent store in which the kernel keeps the last words of a crash. It lives in the firmware's
// non-volatile memory, where neither an erase of the disks nor a power cycle reaches it. Source: hardware specification
// 8.10.

import type { System } from "../system/system.ts";
import type { Step } from "./step.ts";

export const erasePstoreStep: Step = {
  step: "erase_pstore",
  priority: 0,
  interface: "deploy",
  reboot_requested: false,
  abortable: true,
  run: async ({ system, signal }) => {
    await erasePstore(system, signal);
    return null;
  },
};

/** @throws ProgramFailedError, ProgramMissingError if an entry cannot be removed */
export async function erasePstore(system: System, signal: AbortSignal): Promise<void> {
  const mountPoint = parsePstoreMount(await system.files.readText("/proc/mounts"));
  if (mountPoint === null) {
    system.log.info("no pstore is mounted: nothing to erase there");
    return;
  }
  const entries = await system.files.list(mountPoint);
  if (entries.length === 0) return;
  const paths = entries.map((name) => `${mountPoint}/${name}`);
  await system.run(["rm", "--recursive", "--force", "--one-file-system", "--", ...paths], { signal });
  system.log.info(`removed ${entries.length} entries from the persistent store of the kernel`);
}

/** Null: not mounted. */
export function parsePstoreMount(mounts: string): string | null {
  return /^pstore (\S+) pstore /m.exec(mounts)?.[1] ?? null;
}
