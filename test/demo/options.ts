// The demo's command line.

import { parseArgs } from "node:util";

export interface DemoOptions {
  firmware: "bios" | "uefi";
  image: "raw" | "qcow2";
  disk: "virtio" | "sata" | "nvme";
  /** The real Ironic instead of the embedded conductor. */
  ironic: boolean;
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
  --disk BUS          virtio (default), sata or nvme
  --ironic            the real Ironic and a BMC instead of the embedded conductor
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
  return {
    firmware: values.uefi ? "uefi" : "bios",
    image: oneOf("--image", values.image, ["raw", "qcow2"]),
    disk: oneOf("--disk", values.disk, ["virtio", "sata", "nvme"]),
    ironic: values.ironic,
    fresh: values.fresh,
    keep: values.keep,
    timeout: seconds("--timeout", values.timeout) * 1000,
  };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        uefi: { type: "boolean", default: false },
        image: { type: "string", default: "raw" },
        disk: { type: "string", default: "virtio" },
        ironic: { type: "boolean", default: false },
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

function seconds(option: string, value: string): number {
  if (!/^[1-9]\d{0,5}$/.test(value)) {
    throw new UsageError(`${option} must be a number of seconds, not "${value}"`);
  }
  return Number(value);
}
