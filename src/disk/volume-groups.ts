// LVM's volume groups on one disk, switched on for a moment: a root file system in a logical volume can only be reached so.

import { errorText } from "../errors.ts";
import { ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { devicePath, kernelName, partitionsOf } from "./block-tree.ts";

/**
 * Activates the groups with a physical volume on the disk; disposing deactivates them again. Without LVM in the ramdisk there are
 * none.
 */
export async function activateVolumeGroups(
  system: System,
  disk: string,
  signal: AbortSignal,
): Promise<AsyncDisposable> {
  const groups = await groupsOn(system, disk, signal);
  for (const group of groups) await system.run(["vgchange", "-a", "y", group], { signal });
  return {
    [Symbol.asyncDispose]: async () => {
      for (const group of groups)
        await system.run(["vgchange", "-a", "n", group]).catch((error: unknown) => {
          system.log.warning(`the volume group ${group} on ${disk} stays active: ${errorText(error)}`);
        });
    },
  };
}

async function groupsOn(system: System, disk: string, signal: AbortSignal): Promise<Set<string>> {
  const name = await kernelName(system, disk);
  if (name === null) return new Set();
  const paths = new Set([disk, ...(await partitionsOf(system, name)).map((part) => devicePath(part.name))]);
  try {
    const { stdout } = await system.run(
      ["pvs", "--noheadings", "--separator", "|", "-o", "pv_name,vg_name"],
      {
        signal,
      },
    );
    return new Set(
      parsePhysicalVolumes(stdout)
        .filter(({ device, group }) => group !== "" && paths.has(device))
        .map(({ group }) => group),
    );
  } catch (error) {
    if (error instanceof ProgramMissingError) return new Set();
    throw error;
  }
}

/** Lines `  /dev/sda2|vg0`; the group is empty for a volume that belongs to none. */
export function parsePhysicalVolumes(output: string): { device: string; group: string }[] {
  return output
    .split("\n")
    .map((line) => line.trim().split("|"))
    .flatMap(([device = "", group = ""]) => (device === "" ? [] : [{ device, group }]));
}
