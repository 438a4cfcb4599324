// What an operator needs when a disk fails under the agent: which one it is in the rack, and what the kernel said about it. The
// write itself only knows "EIO", often long after the block that was meant.

import { errorText } from "../errors.ts";
import { BlockDeviceIoError } from "../system/block-device.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { devicePath, diskOfPartition, kernelName, slavesOf } from "./block-tree.ts";
import { parsePairs } from "./lsblk-media.ts";

/** As many of the kernel's lines as fit into an error. */
const MAX_LINES = 3;

/** True for what a failing disk brings about, whether this agent met it or a program that it ran. */
export function isDiskFault(error: unknown): boolean {
  if (error instanceof ProgramFailedError)
    return `${error.stdout}${error.stderr}`.includes("Input/output error");
  return error instanceof BlockDeviceIoError;
}

/** Sentences for the end of an error: model and serial number (of an array, those of its disks), and the kernel's I/O errors. Never fails. */
export async function describeDiskFault(system: System, disk: string): Promise<string> {
  const name = (await kernelName(system, disk)) ?? "";
  // What fails under an array is one of its disks.
  const members = await Promise.all(
    (await slavesOf(system, name)).map(async (slave) => (await diskOfPartition(system, slave)) ?? slave),
  );
  const disks = members.length > 0 ? [...new Set(members)].map(devicePath) : [disk];
  const lsblk = await outputOf(system, ["lsblk", "-p", "-P", "--nodeps", "-oKNAME,MODEL,SERIAL", ...disks]);
  const rows = parsePairs(lsblk);
  const identities = disks.map((path) => {
    // A path of udev's making is not among lsblk's names.
    const row =
      rows.find((candidate) => candidate.get("KNAME") === path) ?? (disks.length === 1 ? rows[0] : null);
    const [model, serial] = ["MODEL", "SERIAL"].map((column) => row?.get(column)?.trim() || "unknown");
    return `${path} is model ${model}, serial number ${serial}`;
  });
  const said = ioErrors(await outputOf(system, ["dmesg"]), [name, ...members]);
  const kernel =
    said.length === 0
      ? "The kernel's log has no I/O error."
      : `The kernel says: ${said.slice(-MAX_LINES).join("; ")}.`;
  return `${identities.join("; ")}. ${kernel}`;
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
