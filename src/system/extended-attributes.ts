// A file's extended attributes, which the runtime has no functions for. A file that takes another one's place has to have its SELinux
// label, or the system it is for does not let its services read it.

import { cString, openLibC } from "./libc.ts";

/** As large as Linux lets a list of names, and a value, be. */
const LIMIT = 65_536;
/** What says who may read a file. Not its capabilities and its signature, which were for the content it had. */
const KEPT = /^(?:security\.(?:selinux|SMACK64)|system\.posix_acl_access|user\..+)$/;

/**
 * Gives the open file those of `path`; no link is followed. A file system without any has none to copy.
 * @returns the name of the attribute that could not be set, or null
 */
export function copyExtendedAttributes(path: string, fd: number): string | null {
  using libc = openLibC();
  const names = new Uint8Array(LIMIT);
  const length = Number(libc.llistxattr(cString(path), names, LIMIT));
  const listed = new TextDecoder().decode(names.subarray(0, Math.max(0, length))).split("\0");
  for (const name of listed.filter((each) => KEPT.test(each))) {
    const value = new Uint8Array(LIMIT);
    const size = Number(libc.lgetxattr(cString(path), cString(name), value, LIMIT));
    if (size < 0 || libc.fsetxattr(fd, cString(name), value, size, 0) !== 0) return name;
  }
  return null;
}
