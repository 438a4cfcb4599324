// image.install_bootloader: makes the machine's firmware start what was written. In UEFI mode these are the firmware's boot entries.
// In BIOS mode a whole-disk image brings its own boot code; for a partition image GRUB is installed.
// Source: deploy specification 5.1.

import { HostGuard } from "../disk/host-guard.ts";
import { rescanPartitions } from "../disk/rescan.ts";
import { CommandExecutionError, errorText, RestError } from "../errors.ts";
import { ramdiskBootMode } from "./boot-mode.ts";
import { type BootLoaderContext, setUpEfiBoot } from "./efi-boot.ts";
import { installGrub } from "./grub.ts";
import { stopIscsiTarget } from "./iscsi-target.ts";

export type BootLoaderRequest = {
  readonly rootUuid: string | null;
  readonly efiSystemPartUuid: string | null;
  readonly prepBootPartUuid: string | null;
  /** `bios` (the command's default) or `uefi`; only compared with the ramdisk's own mode, for a warning. */
  readonly targetBootMode: string;
  /** Null follows the option ignore_bootloader_failure. */
  readonly ignoreBootloaderFailure: boolean | null;
};

/** What a whole-disk image has instead of a root file system's UUID: the MBR signature, all zero with a GPT. */
const DISK_SIGNATURE = /^0x[0-9a-f]{8}$/i;

/**
 * @throws HostDiskError; ISCSIError when a disk that was written over iSCSI cannot be taken back; and, unless failures are to be ignored, DeviceNotFound, InvalidImage if the image's own programs would have to
 * run and must not, CommandExecutionError
 */
export async function installBootLoader(
  context: BootLoaderContext,
  request: BootLoaderRequest,
): Promise<void> {
  const { system, config } = context;
  const disk = await context.installDevice({ refresh: false });
  const guard = new HostGuard(system, { allowHostDisks: config.get("allow_host_disks") });
  await guard.assertMayDestroy(disk, "install a boot loader for");
  // The kernel still knows the partitions from before the conductor wrote the disk.
  if (await stopIscsiTarget(context))
    await rescanPartitions(system, disk, {
      attempts: config.get("disk_utils.partprobe_attempts"),
      signal: context.signal,
    });
  const mode = await ramdiskBootMode(system);
  if (request.targetBootMode !== mode)
    system.log.warning(
      `The node is to boot in ${request.targetBootMode} mode, but the ramdisk was booted in ${mode} mode; ` +
        "boot loaders are installed for the ramdisk's mode.",
    );
  const ignoreFailure = request.ignoreBootloaderFailure ?? config.get("ignore_bootloader_failure") ?? false;
  const tolerate = async (work: () => Promise<boolean>): Promise<boolean> => {
    try {
      return await work();
    } catch (error) {
      context.signal.throwIfAborted();
      if (!ignoreFailure) throw asCommandError(disk, error);
      system.log.warning("Ignoring that the boot loader could not be installed, as configured", error);
      return false;
    }
  };
  if (mode === "uefi" && (await tolerate(() => setUpEfiBoot(context, disk, request.efiSystemPartUuid))))
    return;
  const { rootUuid, efiSystemPartUuid: espUuid, prepBootPartUuid: prepUuid } = request;
  if (rootUuid !== null && !DISK_SIGNATURE.test(rootUuid))
    await tolerate(() => installGrub(context, { disk, mode, rootUuid, espUuid, prepUuid }));
  else if (mode === "uefi")
    system.log.warning(
      `${disk} has no boot loader for this machine on its EFI system partition; it may not boot.`,
    );
}

function asCommandError(disk: string, error: unknown): RestError {
  if (error instanceof RestError) return error;
  return new CommandExecutionError(
    `Installing GRUB2 boot loader to device ${disk} failed with ${errorText(error)}.`,
    { cause: error },
  );
}
