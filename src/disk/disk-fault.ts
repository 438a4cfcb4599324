// What an operator needs when a disk fails under the agent: which one it is in the rack, and what the kernel said about it. The
// write itself only knows "EIO", often long after the block that was meant.

import { errorText } from "../errors.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { diskOfPartition, kernelName, slavesOf } from "./block-tree.ts";
import { parsePairs } from "./lsblk-media.ts";

/** As many of the kernel's lines as fit into an error. */
const MAX_LINES = 3;

/** Sentences for the end of an error: the disk's model and serial number, and the kernel's I/O errors on it. Never fails. */
export async function describeDiskFault(system: System, disk: string): Promise<string> {
  const name = (await kernelName(system, disk)) ?? "";
  // What fails under an array is one of its disks.
  const members = await Promise.all(
    (await slavesOf(system, name)).map(async (slave) => (await diskOfPartition(system, slave)) ?? slave),
  );
  const lsblk = await outputOf(system, ["lsblk", "-P", "--nodeps", "-oMODEL,SERIAL", disk]);
  const [row] = parsePairs(lsblk);
  const identity = [row?.get("MODEL")?.trim(), row?.get("SERIAL")?.trim()].map((text) => text || "unknown");
  const said = ioErrors(await outputOf(system, ["dmesg"]), [name, ...members]);
  const kernel =
    said.length === 0
      ? "The kernel's log has no I/O error of it."
      : `The kernel says: ${said.slice(-MAX_LINES).join("; ")}.`;
  return `${disk} is model ${identity[0]}, serial number ${identity[1]}. ${kernel}`;
}

/** The kernel's lines on failed requests to these devices, without their time stamps. */
export function ioErrors(kernelLog: string, names: readonly string[]): string[] {
  return kernelLog
    .split("\n")
    .map((line) => line.replace(/^\[ *[\d.]+\] /, "").trim())
    .filter((line) => {
      const device = /\berror, dev (\S+), sector \d+/.exec(line)?.[1];
      return device !== undefined && names.includes(device);
    });
}

async function outputOf(system: System, argv: readonly string[]): Promise<string> {
  try {
    return (await system.run(argv, { timeout: 30 })).stdout;
  } catch (error) {
    if (!(error instanceof ProgramFailedError || error instanceof ProgramMissingError)) throw error;
    system.log.debug(`a failing disk cannot be described: ${errorText(error)}`);
    return "";
  }
}
