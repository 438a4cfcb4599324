// Where the partitions around a partition image go. Pure arithmetic, so that everything that cannot work is known before
// the disk is touched. Old deployments are rebuilt by the numbers that come out here: the order is the reference's and must stay.
// Source: deploy specification 3.1, 3.3 and 3.4.

import type { Partition } from "./partition-table.ts";

export type PartitionRole =
  | "efi system partition"
  | "BIOS Boot partition"
  | "ephemeral"
  | "swap"
  | "configdrive"
  | "root";

export type PlannedPartition = {
  readonly role: PartitionRole;
  readonly number: number;
  /** MiB from the start of the disk, and MiB. */
  readonly startMiB: number;
  readonly sizeMiB: number;
  /** parted's word for the kind of file system, "" for none. */
  readonly fileSystem: "" | "fat32" | "linux-swap";
  /** parted's flags to set. */
  readonly flags: readonly string[];
};

export type PartitionLayout = {
  readonly label: "gpt" | "msdos";
  /** By number; the root partition is the last. */
  readonly partitions: readonly PlannedPartition[];
};

export type LayoutRequest = {
  readonly bootMode: "uefi" | "bios";
  readonly label: "gpt" | "msdos";
  /** The machine gets no boot partition and no boot flag: it boots from the network. */
  readonly netboot: boolean;
  /** MiB; 0 = none. */
  readonly ephemeralMiB: number;
  readonly swapMiB: number;
  readonly configDriveMiB: number;
  readonly rootMiB: number;
  /** Of the boot partitions, MiB. */
  readonly efiSystemPartitionMiB: number;
  readonly biosBootPartitionMiB: number;
};

const FIRST_MIB = 1;
/** parted refuses a partition that ends in the last MiB, where a GPT keeps its backup. */
const LAST_MIB = 1;
const MBR_PARTITIONS = 4;
/** For the first sector of a partition, and for how many it has. */
const MAX_MBR_SECTORS = 2 ** 32 - 1;
const MEBIBYTE = 1024 * 1024;

export function planPartitions(request: LayoutRequest): PartitionLayout {
  const { bootMode, label, netboot } = request;
  const boots = (role: PartitionRole) =>
    !netboot && (role === "efi system partition" ? bootMode === "uefi" : bootMode === "bios");
  const rootFlags = boots("root") && label === "msdos" ? ["boot"] : [];
  const wanted: [PartitionRole, number, PlannedPartition["fileSystem"], readonly string[]][] = [
    // On a GPT, parted's `boot` makes it an EFI system partition.
    [
      "efi system partition",
      boots("efi system partition") ? request.efiSystemPartitionMiB : 0,
      "fat32",
      ["boot"],
    ],
    [
      "BIOS Boot partition",
      boots("BIOS Boot partition") && label === "gpt" ? request.biosBootPartitionMiB : 0,
      "",
      ["bios_grub"],
    ],
    ["ephemeral", request.ephemeralMiB, "", []],
    ["swap", request.swapMiB, "linux-swap", []],
    ["configdrive", request.configDriveMiB, "", []],
    ["root", request.rootMiB, "", rootFlags],
  ];
  let startMiB = FIRST_MIB;
  const partitions: PlannedPartition[] = [];
  for (const [role, sizeMiB, fileSystem, flags] of wanted) {
    if (sizeMiB === 0) continue;
    partitions.push({ role, number: partitions.length + 1, startMiB, sizeMiB, fileSystem, flags });
    startMiB += sizeMiB;
  }
  return { label, partitions };
}

/** What makes the layout impossible on a disk of `diskBytes`; null if nothing does. */
export function layoutFault(
  { label, partitions }: PartitionLayout,
  diskBytes: number,
  sectorSize: number,
): string | null {
  if (label === "msdos" && partitions.length > MBR_PARTITIONS)
    return (
      `${partitions.length} partitions are needed (${partitions.map(({ role }) => role).join(", ")}), and an ` +
      `msdos partition table has room for ${MBR_PARTITIONS}; use the disk label gpt`
    );
  const end = partitions.reduce((sum, { sizeMiB }) => sum + sizeMiB, FIRST_MIB);
  const available = Math.floor(diskBytes / MEBIBYTE) - LAST_MIB;
  if (end > available)
    return (
      `the partitions need ${end} MiB (${partitions.map(({ role, sizeMiB }) => `${role} ${sizeMiB}`).join(", ")}), ` +
      `and the disk has ${available}`
    );
  const most = (MAX_MBR_SECTORS * sectorSize) / MEBIBYTE;
  const far = partitions.find(({ startMiB, sizeMiB }) => startMiB > most || sizeMiB > most);
  if (label === "msdos" && far !== undefined)
    return (
      `the partition ${far.role} begins at ${far.startMiB} MiB and has ${far.sizeMiB} MiB, and an msdos partition table has no ` +
      `number above ${Math.floor(most)} MiB; use the disk label gpt`
    );
  return null;
}

/** The arguments of the one parted call that makes the table; `disk` is its device node. */
export function partedArguments(disk: string, { label, partitions }: PartitionLayout): string[] {
  const argv = ["-a", "optimal", "-s", disk, "--", "unit", "MiB", "mklabel", label];
  for (const { number, startMiB, sizeMiB, fileSystem, flags } of partitions) {
    argv.push("mkpart", "primary", fileSystem, String(startMiB), String(startMiB + sizeMiB));
    for (const flag of flags) argv.push("set", String(number), flag, "on");
  }
  return argv;
}

/** Partition types by role: GPT's GUID and the MBR's number, as parted writes them. */
const TYPES: Readonly<Record<PartitionRole, { gpt: string; msdos: string }>> = {
  "efi system partition": { gpt: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", msdos: "ef" },
  "BIOS Boot partition": { gpt: "21686148-6449-6e6f-744e-656564454649", msdos: "" },
  ephemeral: { gpt: "0fc63daf-8483-4772-8e79-3d69d8477de4", msdos: "83" },
  swap: { gpt: "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", msdos: "82" },
  configdrive: { gpt: "0fc63daf-8483-4772-8e79-3d69d8477de4", msdos: "83" },
  root: { gpt: "0fc63daf-8483-4772-8e79-3d69d8477de4", msdos: "83" },
};

/**
 * How a disk's table differs from the layout; null if it does not. A rebuild that keeps the ephemeral partition writes by number:
 * on any other table it would write over something else.
 */
export function layoutMismatch(
  layout: PartitionLayout,
  table: { readonly label: "gpt" | "msdos"; readonly partitions: readonly Partition[] },
): string | null {
  if (table.label !== layout.label) return `its table is ${table.label}, not ${layout.label}`;
  if (table.partitions.length !== layout.partitions.length)
    return `it has ${table.partitions.length} partitions, not ${layout.partitions.length}`;
  for (const planned of layout.partitions) {
    const found = table.partitions.find(({ number }) => number === planned.number);
    const place = `partition ${planned.number} (${planned.role})`;
    if (found === undefined) return `${place} is missing`;
    if (found.start !== planned.startMiB * MEBIBYTE || found.size !== planned.sizeMiB * MEBIBYTE)
      return (
        `${place} has ${found.size / MEBIBYTE} MiB at ${found.start / MEBIBYTE} MiB, not ` +
        `${planned.sizeMiB} at ${planned.startMiB}`
      );
    const type = TYPES[planned.role][layout.label];
    if (found.type !== type) return `${place} has the type ${found.type}, not ${type}`;
  }
  return null;
}
