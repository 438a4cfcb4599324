// The password file on a real file system: its mode and that it appears whole.

import { expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { isRescued, markRescued, storeRescuePassword } from "../../src/steps/rescue.ts";
import { type Files, realFiles } from "../../src/system/files.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";

/** The real files, with /etc below `root`. */
function rootedAt(root: string): Files {
  return {
    ...realFiles,
    write: (path, content, mode) => realFiles.write(`${root}${path}`, content, mode),
    kind: (path) => realFiles.kind(`${root}${path}`),
  };
}

test("the file is readable by root alone and complete, and nothing else is left behind (DEV-28)", async () => {
  const root = await mkdtemp(`${tmpdir()}/rescue-`);
  try {
    const system = { ...recordedSystem(), files: rootedAt(root) };
    expect(await rejection(storeRescuePassword(system, "x", false))).toMatchObject({
      type: "CommandExecutionError",
    });
    const directory = `${root}/etc/ipa-rescue-config`;
    await realFiles.makeDirectory(directory);
    await storeRescuePassword(system, "first", false);
    await storeRescuePassword(system, "$5$a$b", true);
    expect(await readFile(`${directory}/ipa-rescue-password`, "utf8")).toBe("$5$a$b");
    expect((await stat(`${directory}/ipa-rescue-password`)).mode & 0o7777).toBe(0o600);
    expect(await readdir(directory)).toEqual(["ipa-rescue-password"]);
    expect(await isRescued(system)).toBe(false);
    await markRescued(system);
    expect(await isRescued(system)).toBe(true);
  } finally {
    await rm(root, { recursive: true });
  }
});
