// The step clean_uefi_nvram: takes the boot entries of former systems out of the firmware. Entries are told by their device paths;
// what the firmware made for itself (network, setup) stays. Source: deploy specification 6.6.

import { deleteEfiBootEntry, listEfiBootEntries } from "../disk/efi-boot-entries.ts";
import { HostGuard } from "../disk/host-guard.ts";
import { HostDiskError, InvalidCommandParamsError } from "../errors.ts";
import type { Json } from "../json.ts";
import { ramdiskBootMode } from "./boot-mode.ts";
import { mountEfiVariables } from "./efi-boot.ts";
import type { Step, StepContext } from "./step.ts";

/** Entries of disks, and loaders of Linux distributions wherever they are. */
const DEFAULT_PATTERNS = ["^HD\\(", "shim.*\\.efi", "grub.*\\.efi"];

export type CleanNvramContext = Pick<StepContext, "system" | "config" | "signal">;

export function cleanUefiNvramStep(description: { readonly abortable?: boolean }): Step {
  return {
    step: "clean_uefi_nvram",
    priority: 0,
    interface: "deploy",
    reboot_requested: false,
    ...description,
    argsinfo: {
      match_patterns: {
        description:
          "Regular expressions, searched case-insensitively in the device paths of the boot entries; entries that match are " +
          `deleted. Default: ${DEFAULT_PATTERNS.join(", ")}.`,
        required: false,
      },
    },
    run: async (context, args) => {
      await cleanUefiNvram(context, args.match_patterns ?? null);
      return null;
    },
  };
}

/** Deletes the matching entries; does nothing on a machine that was not booted by UEFI. @throws InvalidCommandParamsError, ProgramFailedError */
export async function cleanUefiNvram(context: CleanNvramContext, patterns: Json): Promise<void> {
  const { system, config, signal } = context;
  const expressions = parsePatterns(patterns);
  if ((await ramdiskBootMode(system)) !== "uefi") {
    system.log.info("not booted by UEFI: there are no boot entries to clean");
    return;
  }
  // The entries of a machine in use are as precious as its disks.
  const guard = new HostGuard(system, { allowHostDisks: config.get("allow_host_disks") });
  if (!config.get("allow_host_disks") && !(await guard.inRamdisk()))
    throw new HostDiskError("Refused to delete UEFI boot entries: this machine does not run from a ramdisk.");
  await mountEfiVariables(context);
  for (const entry of await listEfiBootEntries(system, signal)) {
    if (!expressions.some((expression) => expression.test(entry.path))) continue;
    system.log.info(`deleting UEFI boot entry Boot${entry.number} "${entry.label}" ${entry.path}`);
    await deleteEfiBootEntry(system, entry.number, signal);
  }
}

function parsePatterns(patterns: Json): RegExp[] {
  const list = patterns ?? DEFAULT_PATTERNS;
  if (!Array.isArray(list) || list.length === 0)
    throw new InvalidCommandParamsError("'match_patterns' must be a list of regular expressions.");
  return list.map((pattern) => {
    if (typeof pattern === "string")
      try {
        return new RegExp(pattern, "i");
      } catch {
        // Falls through to the one error for everything that is no regular expression.
      }
    throw new InvalidCommandParamsError(
      `'match_patterns' must be a list of regular expressions, and ${JSON.stringify(pattern)} is none.`,
    );
  });
}
