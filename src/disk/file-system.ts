// What a partition holds, probed on the device itself: udev's memory may still tell of the image before, and is empty
// where no udev runs.

import type { System } from "../system/system.ts";

export type FileSystemIdentity = {
  /** Volume id; null if it has none. */
  readonly label: string | null;
  /** As the file system writes it: FAT's are upper case. */
  readonly uuid: string | null;
  /** `ext4`, `vfat`, `swap` …; null without one. */
  readonly type: string | null;
  /** Bytes of the smallest piece it reads or writes. */
  readonly blockSize: number | null;
  /** Of the partition it is in: a GUID, or `<disk signature>-<number>`. */
  readonly partUuid: string | null;
};

/** blkid's way to say that it recognised nothing, or signatures that contradict each other. */
const NOTHING_FOUND = [2, 8];

/**
 * Null for all that is unknown, as where there is no file system. `part` is a range of the device, in bytes, that the kernel need not know.
 * @throws ProgramFailedError, ProgramMissingError
 */
export async function probeFileSystem(
  system: System,
  device: string,
  signal: AbortSignal,
  part: { readonly start: number; readonly size: number } | null = null,
): Promise<FileSystemIdentity> {
  const range = part === null ? [] : ["-O", String(part.start), "-S", String(part.size)];
  const { stdout } = await system.run(["blkid", "-p", "-o", "export", ...range, device], {
    allowedExitCodes: [0, ...NOTHING_FOUND],
    signal,
  });
  const values = parseBlkidExport(stdout);
  return {
    label: values.get("LABEL") ?? null,
    uuid: values.get("UUID") ?? null,
    type: values.get("TYPE") ?? null,
    blockSize: Number(values.get("BLOCK_SIZE")) || null,
    partUuid: values.get("PART_ENTRY_UUID") ?? null,
  };
}

/** `KEY=value` lines; blkid escapes blanks and the like in values with a backslash. */
export function parseBlkidExport(output: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of output.split("\n")) {
    const cut = line.indexOf("=");
    if (cut > 0) values.set(line.slice(0, cut), line.slice(cut + 1).replace(/\\(.)/g, "$1"));
  }
  return values;
}
