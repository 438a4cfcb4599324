import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { logFile } from "../../src/system/log-file.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(`${tmpdir()}/log-file-`);
});
afterEach(() => rm(directory, { recursive: true }));

const never = (text: string) => {
  throw new Error(`not written: ${text}`);
};
const text = (name: string) => readFile(`${directory}/${name}`, "utf8");

describe("the log file", () => {
  test("is appended to, and made anew when it was moved away", async () => {
    const append = logFile(`${directory}/log`, null, never);
    append("one\n");
    append("two\n");
    await rename(`${directory}/log`, `${directory}/old`);
    append("three\n");
    expect(await text("old")).toBe("one\ntwo\n");
    expect(await text("log")).toBe("three\n");
  });

  test("begins anew when the next record does not fit, and keeps so many full ones", async () => {
    const append = logFile(`${directory}/log`, { size: 10, keep: 2 }, never);
    for (const record of ["aaaa\n", "bbbb\n", "cccc\n", "dddddddddddddd\n", "eeee\n", "ffff\n"])
      append(record);
    expect((await readdir(directory)).sort()).toEqual(["log", "log.1", "log.2"]);
    expect(await text("log")).toBe("eeee\nffff\n");
    expect(await text("log.1")).toBe("dddddddddddddd\n");
    expect(await text("log.2")).toBe("cccc\n");
  });

  test("a file that cannot be written is said in words, and before anything is logged", () => {
    expect(() => logFile(`${directory}/none/log`, null, never)).toThrow(
      `cannot write the log file ${directory}/none/log: no such file or directory (ENOENT)`,
    );
    expect(() => logFile(directory, null, never)).toThrow("illegal operation on a directory (EISDIR)");
  });

  test("a record that can no longer be written goes elsewhere, and nothing fails", async () => {
    const failed: string[] = [];
    const append = logFile(`${directory}/sub`, null, (record) => failed.push(record));
    await rm(directory, { recursive: true });
    append("lost\n");
    expect(failed).toEqual(["lost\n"]);
    directory = await mkdtemp(`${tmpdir()}/log-file-`);
  });
});
