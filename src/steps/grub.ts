// GRUB for a partition image: the image brings the program, the agent the disk. With UEFI the image's own signed loaders are
// preferred, which keeps Secure Boot; grub-install is the way that is left. Source: deploy specification 5.5.

import { isBiosBootable } from "../disk/bios-bootable.ts";
import { type FoundDevice, findByUuid } from "../disk/find-by-uuid.ts";
import { holderPartitions } from "../disk/holder-partitions.ts";
import { ImageRoot } from "../disk/image-root.ts";
import { isArray, type RaidArray, readArray, warnIfDegraded } from "../disk/md-arrays.ts";
import { activateVolumeGroups } from "../disk/volume-groups.ts";
import { CommandExecutionError, errorText, InvalidImage } from "../errors.ts";
import type { System } from "../system/system.ts";
import type { BootMode } from "./boot-mode.ts";
import { type BootLoaderContext, setUpEfiBoot } from "./efi-boot.ts";
import { appendEspToFstab } from "./fstab.ts";
import { preserveEfiFiles } from "./preserve-efi-files.ts";

export type GrubRequest = {
  readonly disk: string;
  readonly mode: BootMode;
  /** Of the root file system. */
  readonly rootUuid: string;
  readonly espUuid: string | null;
  /** POWER's boot partition: GRUB goes there instead of onto the disk. */
  readonly prepUuid: string | null;
};

const ESP = "/boot/efi";

/** What grub-mkconfig is told by its environment; the image's /etc/default/grub has the last word. */
type ConfigEnvironment = Readonly<Record<string, string>>;

/**
 * Resolves to true once the disk has something to boot.
 * @throws DeviceNotFound, InvalidImage, CommandExecutionError, ProgramFailedError
 */
export async function installGrub(context: BootLoaderContext, request: GrubRequest): Promise<boolean> {
  const { system, signal } = context;
  const { disk } = request;
  await using _groups = await activateVolumeGroups(system, disk, signal);
  const root = await findByUuid(system, disk, request.rootUuid, signal);
  const raid = (await isArray(system, disk)) ? await readArray(system, disk, signal) : null;
  const another = request.espUuid ?? request.prepUuid ?? raid;
  if (another === null && (await bootsAlready(context, disk))) {
    system.log.info(`${disk} has boot code already: GRUB is not installed`);
    return true;
  }
  await using image = await ImageRoot.mount(system, root.path, signal);
  const environment = configEnvironment(disk, root, raid !== null);
  return await (request.espUuid === null
    ? installForBios(context, image, request, raid, environment)
    : installForUefi(context, image, { ...request, espUuid: request.espUuid }, environment));
}

/**
 * os-prober reads every disk of the machine, for minutes. GRUB remembers the entry that was booted where it can write: on an array or a
 * logical volume it cannot, and would stop at each boot to say so.
 */
export function configEnvironment(disk: string, root: FoundDevice, onRaid: boolean): ConfigEnvironment {
  const canWrite = !onRaid && (root.partition !== null || root.path === disk);
  return { GRUB_DISABLE_OS_PROBER: "true", ...(canWrite ? { GRUB_SAVEDEFAULT: "true" } : {}) };
}

/** What this agent wrote, it knows; a disk that came another way (iSCSI, an earlier run) is looked at. */
async function bootsAlready({ system, deployment }: BootLoaderContext, disk: string): Promise<boolean> {
  if (deployment.image !== null) return deployment.image.kind === "whole disk";
  await using device = await system.blockDevices.open(disk, "read");
  return await isBiosBootable(device);
}

async function installForBios(
  context: BootLoaderContext,
  image: ImageRoot,
  { disk, prepUuid }: GrubRequest,
  raid: RaidArray | null,
  environment: ConfigEnvironment,
): Promise<true> {
  const { system, config, signal } = context;
  requireImageCode(context, disk);
  const grub = await grubName(image);
  let targets = [prepUuid === null ? disk : (await findByUuid(system, disk, prepUuid, signal)).path];
  if (raid !== null) {
    // Every disk has to boot by itself, with GRUB in a partition of its own where there is a GPT.
    await warnIfDegraded(system, raid);
    targets = [...raid.holders];
    const attempts = config.get("disk_utils.partprobe_attempts");
    await holderPartitions(system, raid.holders, "bios", { attempts, signal });
    await addRaidToKernelLine(system, image, raid);
  }
  await image.prepareToRun([disk, ...targets]);
  for (const target of targets) await image.run([`${grub}-install`, target]);
  await configureGrub(image, grub, environment);
  system.log.info(`installed GRUB on ${targets.join(", ")}`);
  return true;
}

/** Dracut assembles only the arrays it is told of. */
async function addRaidToKernelLine(system: System, image: ImageRoot, { uuid }: RaidArray): Promise<void> {
  const defaults = "/etc/default/grub";
  const hasDracut = (await image.hasFile("/usr/bin/dracut")) || (await image.hasFile("/usr/sbin/dracut"));
  if (uuid === null || !hasDracut || !(await image.hasFile(defaults))) return;
  const path = await image.resolve(defaults);
  const text = await system.files.readText(path);
  const changed = withKernelParameter(text, `rd.md.uuid=${uuid}`);
  const unchanged = { mode: null, owner: null, group: null };
  if (changed !== text) await system.files.place(path, new TextEncoder().encode(changed), unchanged);
}

/** `/etc/default/grub` with a parameter more in GRUB_CMDLINE_LINUX; unchanged if it has it, or has no such line. */
export function withKernelParameter(text: string, parameter: string): string {
  return text.replace(
    /^(GRUB_CMDLINE_LINUX=)(["'])(.*)\2[ \t]*$/m,
    (line, name: string, quote: string, value: string) =>
      value.split(/\s+/).includes(parameter)
        ? line
        : `${name}${quote}${`${value} ${parameter}`.trim()}${quote}`,
  );
}

async function installForUefi(
  context: BootLoaderContext,
  image: ImageRoot,
  { disk, espUuid }: GrubRequest & { readonly espUuid: string },
  environment: ConfigEnvironment,
): Promise<boolean> {
  const { system, signal } = context;
  const esp = (await findByUuid(system, disk, espUuid, signal)).path;
  await appendEspToFstab(context, image, esp);
  if (await copyOwnLoaders(context, image, { disk, esp, environment })) {
    if (await setUpEfiBoot(context, disk, espUuid)) return true;
    system.log.warning("none of the image's own EFI files is a loader for this machine; installing GRUB");
  }
  requireImageCode(context, disk);
  await installUnsigned(context, image, { disk, esp, environment });
  if (await setUpEfiBoot(context, disk, espUuid)) return true;
  throw new CommandExecutionError(
    `Installing GRUB2 boot loader to device ${disk} failed: after grub-install there is no EFI loader on ${esp}.`,
  );
}

type UefiTarget = {
  readonly disk: string;
  /** Device node of its EFI system partition. */
  readonly esp: string;
  readonly environment: ConfigEnvironment;
};

/** Grub-install with UEFI; some distributions' refuses, which shows when there is no loader afterwards. */
async function installUnsigned(
  context: BootLoaderContext,
  image: ImageRoot,
  { disk, esp, environment }: UefiTarget,
): Promise<void> {
  const { system } = context;
  system.log.warning("GRUB is made by grub-install: it is not signed, and will not start with Secure Boot");
  const grub = await grubName(image);
  await using _esp = await image.mountFat(esp, ESP);
  await image.prepareToRun([disk]);
  for (const more of [[], ["--removable"]])
    try {
      // The boot entry is made by this agent: inside, the firmware's variables are out of reach.
      await image.run([`${grub}-install`, "--no-nvram", ...more]);
    } catch (error) {
      context.signal.throwIfAborted();
      system.log.warning(`GRUB could not be installed for UEFI: ${errorText(error)}`);
    }
  await configureGrub(image, grub, environment);
}

/** False if the image has none, or they cannot be copied. */
async function copyOwnLoaders(
  context: BootLoaderContext,
  image: ImageRoot,
  { disk, esp, environment }: UefiTarget,
): Promise<boolean> {
  const { system, config, signal } = context;
  if (!(await image.hasDirectory(`${ESP}/EFI`))) return false;
  try {
    const grub = await grubName(image);
    if (config.get("enable_bios_bootloader_install") && (await image.hasFile(`/usr/sbin/${grub}-install`))) {
      await image.prepareToRun([disk]);
      await configureGrub(image, grub, environment);
    }
    await preserveEfiFiles(context, image, esp);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    system.log.warning(`the image's own EFI files could not be kept: ${errorText(error)}`);
    return false;
  }
}

async function grubName(image: ImageRoot): Promise<"grub2" | "grub"> {
  return (await image.hasFile("/usr/sbin/grub2-install")) ? "grub2" : "grub";
}

async function configureGrub(
  image: ImageRoot,
  grub: "grub2" | "grub",
  environment: ConfigEnvironment,
): Promise<void> {
  await image.run([`${grub}-mkconfig`, "-o", `/boot/${grub}/grub.cfg`], environment);
}

/** The image's own programs would run with root's rights in the ramdisk (CVE-2026-43003): only where that is allowed. */
function requireImageCode({ system, config }: BootLoaderContext, disk: string): void {
  const option = "enable_bios_bootloader_install";
  if (config.get(option)) {
    system.log.warning(
      `running grub-install out of the image: ${option} allows it (${config.origin(option)})`,
    );
    return;
  }
  throw new InvalidImage(
    `Installing a boot loader on ${disk} would run grub-install out of the image, which is not allowed ` +
      "(enable_bios_bootloader_install, set in Ironic's [agent] section or here). Deploy a whole-disk image, or a " +
      "partition image with EFI loaders in /boot/efi and UEFI boot mode; or allow it if you trust the image.",
  );
}
