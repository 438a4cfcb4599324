// Python for a ramdisk that is measured: an archive that is laid over the ramdisk's base, from the same packages as that. No
// ramdisk of the agent has Python.

import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { cached, cacheKey } from "../../rig/cache.ts";
import { debianTree, SUITE } from "../../rig/debian.ts";
import { librariesOf } from "../../rig/elf-libraries.ts";
import { run } from "../../rig/programs.ts";

/** The archive (cpio, not compressed), from the cache when nothing changed. */
export async function pythonLayer(options: {
  report: (line: string) => void;
  signal: AbortSignal;
}): Promise<string> {
  const key = await cacheKey([SUITE], [import.meta.path]);
  const directory = await cached("python", key, {}, async (work, logFile) => {
    options.report("building a layer with Python from Debian packages");
    const tree = join(work, "tree");
    await mkdir(work, { recursive: true });
    await debianTree({ packages: ["python3"], directory: tree, logFile, signal: options.signal });
    const library = (await readdir(join(tree, "usr/lib"))).find((name) => /^python3\.\d+$/.test(name));
    if (library === undefined) throw new Error("Debian's python3 brought no /usr/lib/python3.*");
    const modules = await readdir(join(tree, "usr/lib", library, "lib-dynload"));
    const linked = [
      `/usr/bin/${library}`,
      ...modules.map((name) => `/usr/lib/${library}/lib-dynload/${name}`),
    ];
    const paths = [
      ...["usr/bin/python3", `usr/bin/${library}`, `usr/lib/${library}`, "usr/lib/python3"],
      ...(await librariesOf(tree, linked)).map((path) => path.slice(1)),
    ];
    const script =
      'for path; do real=$(realpath --relative-to=. "$(dirname "$path")")/$(basename "$path"); find "$real" "$(realpath --relative-to=. "$path")"; done' +
      " | sort -u | cpio --create --quiet -H newc -F ../python.cpio";
    await run(["sh", "-c", script, "sh", ...paths], { cwd: tree });
    await rm(tree, { recursive: true });
  });
  return join(directory, "python.cpio");
}
