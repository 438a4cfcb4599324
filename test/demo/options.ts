// The demo's command line.

import { accessSync, constants } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

export interface DemoOptions {
  firmware: "bios" | "uefi";
  image: "raw" | "qcow2";
  /** The qcow2 is grown to so many GiB and filled with data; null for the image as it is. */
  imageGiB: number | null;
  disk: "virtio" | "sata" | "nvme";
  /** The image's root file system alone, for the agent to make a disk around it. */
  partitionImage: boolean;
  /** Level of the software RAID that is made first, of two disks; null for one disk without. */
  raid: "1" | null;
  /** The real Ironic instead of the embedded conductor. */
  ironic: boolean;
  /** A kernel and a ramdisk with an agent, made elsewhere, instead of our own; null for our own. */
  ramdisk: { kernel: string; initrd: string } | null;
  /** Further kernel parameters for the ramdisk. */
  append: string;
  /** The machine's memory in MiB. */
  memoryMiB: number;
  /** The conductor writes the disk over iSCSI, as Ironic's `iscsi` deploy interface did up to Wallaby. */
  iscsi: boolean;
  /** Builds ramdisk and image again. */
  fresh: boolean;
  /** Keeps the run's directory when all went well, too. */
  keep: boolean;
  /** Milliseconds from power-on to the deployed system's first words. */
  timeout: number;
}

export const USAGE = `usage: npm run demo -- [OPTIONS]

Deploys a Debian image to an emulated bare metal machine: boots it from a ramdisk with the agent, lets a
conductor drive the agent, and waits for the deployed system to come up from the machine's disk.

  --uefi              OVMF instead of SeaBIOS
  --image FORMAT      raw (default) or qcow2
  --image-size GIB    with --image qcow2: grown to 1 to 7 GiB, three quarters of it data that nothing can compress
  --disk BUS          virtio (default), sata or nvme
  --partition-image   the image's root file system alone: the agent divides the disk and makes it boot
  --raid 1            two disks and a software RAID on them; the system then boots with either disk pulled out, too
  --ironic            the real Ironic and a BMC instead of the embedded conductor
  --kernel FILE       with --ramdisk: boot these, made elsewhere, instead of a ramdisk of the agent as it is here
  --ramdisk FILE
  --append WORDS      further kernel parameters for the ramdisk
  --memory MIB        the machine's memory (default 2048)
  --iscsi             the conductor writes the disk over iSCSI, as Ironic did up to Wallaby
  --fresh             build ramdisk and image again
  --keep              keep disk and logs of the machine (a failed run keeps them anyway)
  --timeout SECONDS   longest time from power-on to the deployed system (default 1200)
  --help              this text
`;

/** A wrong command line; the message is one line for the user. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Null when help was asked for. Throws UsageError. */
export function parseOptions(args: readonly string[]): DemoOptions | null {
  const values = parsed(args);
  if (values.help) return null;
  if (values["partition-image"] && values.image !== "raw") {
    throw new UsageError("--partition-image is a raw image: leave --image away");
  }
  if (values.iscsi && (values["partition-image"] || values.raid !== undefined))
    throw new UsageError("--iscsi writes a whole-disk image to one disk");
  if (values.ironic && values.iscsi)
    throw new UsageError("--iscsi does not go with --ironic: this Ironic has no iscsi deploy interface");
  return {
    firmware: values.uefi ? "uefi" : "bios",
    image: oneOf("--image", values.image, ["raw", "qcow2"]),
    imageGiB: imageGiB(values["image-size"], values.image),
    disk: oneOf("--disk", values.disk, ["virtio", "sata", "nvme"]),
    partitionImage: values["partition-image"],
    raid: values.raid === undefined ? null : oneOf("--raid", values.raid, ["1"] as const),
    ironic: values.ironic,
    ramdisk: ramdisk(values.kernel, values.ramdisk),
    append: values.append,
    memoryMiB: wholeNumber("--memory", values.memory, "MiB"),
    iscsi: values.iscsi,
    fresh: values.fresh,
    keep: values.keep,
    timeout: wholeNumber("--timeout", values.timeout, "seconds") * 1000,
  };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        uefi: { type: "boolean", default: false },
        image: { type: "string", default: "raw" },
        "image-size": { type: "string" },
        disk: { type: "string", default: "virtio" },
        "partition-image": { type: "boolean", default: false },
        raid: { type: "string" },
        ironic: { type: "boolean", default: false },
        kernel: { type: "string" },
        ramdisk: { type: "string" },
        append: { type: "string", default: "" },
        memory: { type: "string", default: "2048" },
        iscsi: { type: "boolean", default: false },
        fresh: { type: "boolean", default: false },
        keep: { type: "boolean", default: false },
        timeout: { type: "string", default: "1200" },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    // parseArgs explains how to pass a positional argument that looks like an option: not needed here.
    const [first = ""] = (error as Error).message.split(/\. |\n/);
    throw new UsageError(`${first} (--help tells what there is)`);
  }
}

function oneOf<T extends string>(option: string, value: string, choices: readonly T[]): T {
  const choice = choices.find((candidate) => candidate === value);
  if (choice === undefined) throw new UsageError(`${option} must be ${choices.join(" or ")}, not "${value}"`);
  return choice;
}

function ramdisk(kernel: string | undefined, initrd: string | undefined): DemoOptions["ramdisk"] {
  if (kernel === undefined && initrd === undefined) return null;
  if (kernel === undefined || initrd === undefined) {
    throw new UsageError("--kernel and --ramdisk are given together or not at all");
  }
  return { kernel: readable("--kernel", kernel), initrd: readable("--ramdisk", initrd) };
}

/** The file's absolute path: it is opened by processes that run elsewhere. */
function readable(option: string, file: string): string {
  try {
    accessSync(file, constants.R_OK);
  } catch (error) {
    throw new UsageError(`${option} ${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
  return resolve(file);
}

/** The machine's disk has 8 GiB. */
function imageGiB(value: string | undefined, format: string): number | null {
  if (value === undefined) return null;
  if (format !== "qcow2") throw new UsageError("--image-size goes with --image qcow2");
  if (!/^[1-7]$/.test(value)) throw new UsageError(`--image-size must be 1 to 7 GiB, not "${value}"`);
  return Number(value);
}

function wholeNumber(option: string, value: string, unit: string): number {
  if (!/^[1-9]\d{0,5}$/.test(value)) {
    throw new UsageError(`${option} must be a number of ${unit}, not "${value}"`);
  }
  return Number(value);
}
