// What is mounted and what is swapped to, from /proc. Kept apart from the mounting itself, because the host guard needs
// it and must stay small enough to be believed at a glance.

import type { System } from "../system/system.ts";

/** One line of /proc/<pid>/mountinfo, see proc_pid_mountinfo(5); escapes are resolved. */
export type Mount = {
  readonly device: { readonly major: number; readonly minor: number };
  readonly mountPoint: string;
  readonly fileSystem: string;
  readonly source: string;
  /** Options of the file system (not of this mount), unresolved: overlay directories are in here. */
  readonly superOptions: string;
};

const LINE =
  /^\d+ \d+ (\d+):(\d+) \S+ (?<mountPoint>\S+) \S+ (?:\S+ )*?- (?<fileSystem>\S+) (?<source>\S*) (?<options>\S+)$/;

/** Lines that are not understood are left out: newer kernels may only append. */
export function parseMountInfo(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split("\n")) {
    const match = LINE.exec(line);
    if (match?.groups === undefined) continue;
    mounts.push({
      device: { major: Number(match[1]), minor: Number(match[2]) },
      mountPoint: unescapeOctal(match.groups.mountPoint ?? ""),
      fileSystem: match.groups.fileSystem ?? "",
      source: unescapeOctal(match.groups.source ?? ""),
      superOptions: match.groups.options ?? "",
    });
  }
  return mounts;
}

/** Mounts as the process `process` sees them, in order of mounting. @throws FileError if /proc is not there. */
export async function readMounts(system: System, process: "self" | "1"): Promise<Mount[]> {
  return parseMountInfo(await system.files.readText(`/proc/${process}/mountinfo`));
}

/** The mount a path is in, which is the last of those with the longest mount point; null for a relative path. */
export function mountOf(mounts: readonly Mount[], path: string): Mount | null {
  let found: Mount | null = null;
  for (const mount of mounts) {
    const inside =
      mount.mountPoint === "/" || path === mount.mountPoint || path.startsWith(`${mount.mountPoint}/`);
    if (path.startsWith("/") && inside && mount.mountPoint.length >= (found?.mountPoint.length ?? 0))
      found = mount;
  }
  return found;
}

/** Devices and files that are swapped to. */
export function parseSwaps(text: string): string[] {
  return text
    .split("\n")
    .slice(1)
    .map((line) => unescapeOctal(line.split(/\s/)[0] ?? ""))
    .filter((path) => path !== "");
}

export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
