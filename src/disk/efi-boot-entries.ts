// The firmware's boot entries, through efibootmgr: list, delete, create.
// Source of the rules: deploy specification 5.4.

import { ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { devicePath, kernelName, slavesOf } from "./block-tree.ts";

export type EfiBootEntry = {
  /** Four hexadecimal digits, as in Boot0001. */
  readonly number: string;
  readonly active: boolean;
  readonly label: string;
  /** Device path as text, e.g. `HD(1,GPT,…)/File(\EFI\debian\shimx64.efi)`. */
  readonly path: string;
};

export type NewEfiBootEntry = {
  /** The whole disk, e.g. /dev/sda. */
  readonly disk: string;
  readonly partitionNumber: number;
  readonly label: string;
  /** From the root of the ESP, with backslashes. */
  readonly loader: string;
};

/** Long enough for firmware that rewrites its whole store on each change. */
const NVRAM_TIMEOUT = 120;

/** A record starts with its number, and the label ends where a device path of a known kind begins. */
const RECORD =
  /^Boot([0-9a-f]{4})(\*?)\s+(.*?)\s+((?:BBS|HD|FvFile|FvVol|PciRoot|VenMsg|VenHw|UsbClass)\(.*)$/i;

/**
 * The entries of `efibootmgr -v`, in its order. Lines of other kinds, and records with an unknown path, are left out. On some
 * machines the output is UTF-16, of which the zero bytes are all that is in the way here.
 */
export function parseEfiBootEntries(output: string): EfiBootEntry[] {
  return output
    .replaceAll("\0", "")
    .split(/\r?\n/)
    .flatMap((line) => {
      const match = RECORD.exec(line);
      if (match === null) return [];
      const [, number = "", star = "", label = "", path = ""] = match;
      return [{ number: number.toUpperCase(), active: star === "*", label, path: path.trimEnd() }];
    });
}

/** False when efibootmgr is not installed. @throws ProgramFailedError when it is, and the firmware gives no access. */
export async function hasEfiBootManager(system: System): Promise<boolean> {
  try {
    await system.run(["efibootmgr", "--version"]);
    return true;
  } catch (error) {
    if (error instanceof ProgramMissingError) return false;
    throw error;
  }
}

/** @throws ProgramFailedError when the firmware's variables cannot be read. */
export async function listEfiBootEntries(system: System, signal: AbortSignal): Promise<EfiBootEntry[]> {
  const { stdout } = await system.run(["efibootmgr", "-v"], { timeout: NVRAM_TIMEOUT, signal });
  return parseEfiBootEntries(stdout);
}

export async function deleteEfiBootEntry(system: System, number: string, signal: AbortSignal): Promise<void> {
  await system.run(["efibootmgr", "-b", number, "-B"], { timeout: NVRAM_TIMEOUT, signal });
}

/**
 * Adds an entry and makes it the first of the boot order; gives an MBR disk without signature one (`-w`). The entry has nothing of the
 * disk but the partition's place and identifier.
 */
export async function createEfiBootEntry(
  system: System,
  { disk, partitionNumber, label, loader }: NewEfiBootEntry,
  signal: AbortSignal,
): Promise<void> {
  const seen = await runningPath(system, disk);
  await system.run(
    ["efibootmgr", "-v", "-c", "-d", seen, "-p", String(partitionNumber), "-w", "-L", label, "-l", loader],
    { timeout: NVRAM_TIMEOUT, signal },
  );
}

/** Of a multipath map, which efibootmgr does not see through, one of its paths: they show the same disk. Else the disk itself. */
async function runningPath(system: System, disk: string): Promise<string> {
  const name = (await kernelName(system, disk)) ?? "";
  const uuid = await system.files.readAttribute(`/sys/class/block/${name}/dm/uuid`);
  if (uuid?.startsWith("mpath-") !== true) return disk;
  const paths = await slavesOf(system, name);
  for (const path of paths)
    if ((await system.files.readAttribute(`/sys/class/block/${path}/device/state`)) === "running")
      return devicePath(path);
  return paths[0] === undefined ? disk : devicePath(paths[0]);
}
