// Which shared libraries programs of a Debian tree need, asked of the tree's own loader.

import { run } from "./programs.ts";

/** Paths inside the tree, the loader among them, of all that `programs` (paths inside the tree) link to, in order. */
export async function librariesOf(tree: string, programs: readonly string[]): Promise<string[]> {
  const found = new Set<string>();
  for (const program of programs) {
    const { stdout } = await run(["chroot", tree, "ldd", program]).catch((error: Error) => {
      // ldd's only way to say so is to fail.
      if (error.message.includes("not a dynamic executable")) return { stdout: "" };
      throw error;
    });
    for (const line of stdout.split("\n")) {
      if (line.includes("not found")) throw new Error(`${program} lacks a library: ${line.trim()}`);
      const path = /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1];
      if (path !== undefined) found.add(path);
    }
  }
  return [...found].sort();
}
