// The target's part of configfs on a recorded machine: what mkdir brings into being there, and what it takes to get rid of it.
// Names and values as Linux 6.1 has them (`find /sys/kernel/config/target` in a QEMU machine, see test/vm/iscsi.test.ts).

import { FileError, type Files } from "../../src/system/files.ts";
import type { RecordedFile } from "./recorded-system.ts";

const TARGET = "/sys/kernel/config/target";

/** Attributes that come with a directory, by what its path looks like below `target`. */
const BORN: readonly [RegExp, Readonly<Record<string, string>>][] = [
  [/^core\/iblock_\d+$/, { hba_info: "HBA Index: 1 plugin: iblock\n", hba_mode: "0\n" }],
  [/^core\/iblock_\d+\/[^/]+$/, { udev_path: "", control: "", enable: "0\n", "wwn/vpd_unit_serial": "" }],
  [
    /^iscsi\/[^/]+\/tpgt_\d+$/,
    {
      enable: "0\n",
      "attrib/authentication": "1\n",
      "attrib/demo_mode_write_protect": "1\n",
      "attrib/generate_node_acls": "0\n",
      "acls/.group": "",
      "lun/.group": "",
      "np/.group": "",
    },
  ],
];

export type RecordedConfigFs = {
  readonly files: Files;
  /** What was made, written and removed, in order, paths below `target`. */
  readonly journal: readonly string[];
};

/** `fail` makes the operation whose journal line it equals fail with that errno name. */
export function recordedConfigFs(
  files: Files,
  map: ReadonlyMap<string, RecordedFile>,
  fail: Readonly<Record<string, string>> = {},
): RecordedConfigFs {
  const journal: string[] = [];
  const short = (path: string) => path.replace(`${TARGET}/`, "").replace(/(?<=lun_1\/)[0-9a-f]{10}$/, "LINK");
  const done = (line: string, path: string) => {
    const code = fail[line];
    if (code !== undefined) throw new FileError("writing", path, code);
    journal.push(line);
  };
  const below = (path: string) => [...map.keys()].filter((known) => known.startsWith(`${path}/`));
  const born = (path: string) => BORN.find(([pattern]) => pattern.test(path.replace(`${TARGET}/`, "")))?.[1];
  return {
    journal,
    files: {
      ...files,
      async list(path) {
        return (await files.list(path)).filter((name) => name !== ".group");
      },
      async makeDirectory(path) {
        done(`mkdir ${short(path)}`, path);
        await files.makeDirectory(path);
        for (const [name, value] of Object.entries(born(path) ?? {}))
          await files.write(`${path}/${name}`, value);
      },
      async writeInPlace(path, content) {
        done(`${short(path)} = ${content.replace(/^[0-9a-f]{8}-[0-9a-f-]{27}$/, "UUID")}`, path);
        await files.writeInPlace(path, content);
      },
      async link(path, target) {
        done(`link ${short(path)} -> ${short(target)}`, path);
        await files.link(path, target);
      },
      async remove(path) {
        done(`unlink ${short(path)}`, path);
        await files.remove(path);
      },
      async removeDirectory(path) {
        // What came with the directory goes with it; what was made in it must be gone.
        const own = new Set(Object.keys(born(path) ?? {}).map((name) => `${path}/${name}`));
        if (below(path).some((known) => !own.has(known)))
          throw new FileError("removing directory", path, "EBUSY");
        done(`rmdir ${short(path)}`, path);
        for (const known of own) await files.remove(known);
        await files.remove(path);
      },
    },
  };
}
