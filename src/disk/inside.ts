// Paths inside a file system that somebody else made. Its links are followed as they would be if it were the root, so that
// no link of an image can lead the agent out of the mount and into its own ramdisk.

import type { System } from "../system/system.ts";

/** As many links as Linux follows. */
const MAX_LINKS = 40;

/** A path inside leads nowhere good: too many links. */
export class UnsafePathError extends Error {}

/**
 * Where `path` really is below `root`, both absolute; the parts that do not exist are taken as they are.
 * @throws UnsafePathError
 */
export async function resolveInside(system: System, root: string, path: string): Promise<string> {
  const rest = path.split("/");
  const walked: string[] = [];
  let links = 0;
  for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      walked.pop();
      continue;
    }
    const target = await system.files.readLink([root, ...walked, part].join("/"));
    if (target === null) {
      walked.push(part);
      continue;
    }
    links++;
    if (links > MAX_LINKS) throw new UnsafePathError(`too many links on the way to ${path}`);
    if (target.startsWith("/")) walked.length = 0;
    rest.unshift(...target.split("/"));
  }
  return [root, ...walked].join("/");
}
