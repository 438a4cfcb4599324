// Archives of directories that are the same for the same files: entries in the order of their names, one time, nobody's
// user and group, and no more of the mode than whether a file can be run.

import { lstat, readdir, readFile } from "node:fs/promises";
import { join, sep } from "node:path";
import { gzipSync } from "node:zlib";
import { packTar, type TarEntry } from "modern-tar";

/**
 * Files and directories below `directory` as .tar.gz, their names put below `prefix`; without those directly in it that
 * `leaveOut` names. Throws for anything but files and directories.
 */
export async function archiveOf(
  directory: string,
  prefix: string,
  time: number,
  { leaveOut = [] }: { leaveOut?: readonly string[] } = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const entries: TarEntry[] = [];
  const common = { mtime: new Date(time * 1000), uid: 0, gid: 0, uname: "root", gname: "root" };
  for (const name of (await readdir(directory, { recursive: true })).sort()) {
    if (leaveOut.includes(name.split(sep)[0] ?? "")) continue;
    const path = join(directory, name);
    const status = await lstat(path);
    if (status.isDirectory()) {
      entries.push({
        header: { ...common, name: `${prefix}/${name}/`, size: 0, type: "directory", mode: 0o755 },
      });
    } else if (status.isFile()) {
      const body = await readFile(path);
      const mode = (status.mode & 0o111) === 0 ? 0o644 : 0o755;
      entries.push({
        header: { ...common, name: `${prefix}/${name}`, size: body.length, type: "file", mode },
        body,
      });
    } else {
      throw new Error(`${path} is neither a file nor a directory: it has no place in a release`);
    }
  }
  return new Uint8Array(gzipSync(await packTar(entries), { level: 9 }));
}
