import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, lstat, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { FileError, realFiles } from "../../src/system/files.ts";
import { tool } from "../support/loop-device.ts";
import { thrower } from "../support/rejection.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp("/tmp/files-test-");
});
afterAll(() => rm(directory, { recursive: true }));

async function code(work: Promise<unknown>): Promise<string> {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(FileError);
  return (error as FileError).code;
}

describe("reading", () => {
  test("the kernel's files, which report size 0, are read to their end", async () => {
    expect(await realFiles.readText("/proc/self/mountinfo")).toContain(" / ");
    expect((await realFiles.readText("/proc/meminfo")).startsWith("MemTotal:")).toBe(true);
  });

  test("a limit is a limit, and exactly the limit is allowed", async () => {
    await writeFile(`${directory}/five`, "12345");
    expect(await realFiles.readText(`${directory}/five`, 5)).toBe("12345");
    expect(await code(realFiles.readText(`${directory}/five`, 4))).toBe("TOOBIG");
    expect(await code(realFiles.readText("/dev/zero", 100_000))).toBe("TOOBIG");
  });

  test("what is missing is null as an attribute and an error with its path otherwise", async () => {
    expect(await realFiles.readAttribute(`${directory}/none`)).toBeNull();
    expect(await thrower(realFiles.readText(`${directory}/none`))).toThrow(
      `reading ${directory}/none: no such file or directory (ENOENT)`,
    );
    expect(await realFiles.list(`${directory}/none`)).toEqual([]);
  });
});

describe("writing", () => {
  test("replaces the whole file with the mode asked for, and leaves nothing beside it", async () => {
    const path = `${directory}/w/file`;
    await mkdir(`${directory}/w`);
    await writeFile(path, "something much longer");
    await realFiles.write(path, "short", 0o600);
    expect(await realFiles.readText(path)).toBe("short");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(`${directory}/w`)).toEqual(["file"]);
  });

  test("into a directory that is not there is an error, not a new directory", async () => {
    expect(await code(realFiles.write(`${directory}/none/file`, "x"))).toBe("ENOENT");
  });

  test.skipIf(process.getuid?.() !== 0)(
    "a file takes the place of another with its mode and SELinux label, not with what is said of its content",
    async () => {
      const path = `${directory}/labelled`;
      await writeFile(path, "old");
      await chmod(path, 0o640);
      const python = (script: string) => tool("python3", "-c", `import os; path = "${path}"; ${script}`);
      await python(
        "os.setxattr(path, 'security.selinux', b'etc_t'); os.setxattr(path, 'trusted.sum', b'of the old')",
      );
      await realFiles.place(path, new TextEncoder().encode("new"), { mode: null, owner: null, group: null });
      expect(await realFiles.readText(path)).toBe("new");
      expect((await stat(path)).mode & 0o7777).toBe(0o640);
      expect(await python("print([(name, os.getxattr(path, name)) for name in os.listxattr(path)])")).toBe(
        "[('security.selinux', b'etc_t')]\n",
      );
    },
  );

  test("and of a link as if nothing had been there: a link's mode means nothing", async () => {
    const path = `${directory}/link-to-replace`;
    await symlink("elsewhere", path);
    await realFiles.place(path, new Uint8Array(1), { mode: null, owner: null, group: null });
    expect((await lstat(path)).mode & 0o7777).toBe(0o644);
    expect((await lstat(path)).isFile()).toBe(true);
  });

  test("in place needs the file to exist", async () => {
    expect(await code(realFiles.writeInPlace(`${directory}/absent`, "x"))).toBe("ENOENT");
  });
});

describe("asking", () => {
  test("kinds, links and device numbers", async () => {
    await symlink("five", `${directory}/link`);
    await symlink("nowhere", `${directory}/dangling`);
    expect(await realFiles.kind(`${directory}/link`)).toBe("link");
    expect(await realFiles.targetKind(`${directory}/link`)).toBe("file");
    expect(await realFiles.targetKind(`${directory}/dangling`)).toBeNull();
    expect(await realFiles.readLink(`${directory}/link`)).toBe("five");
    expect(await realFiles.readLink(`${directory}/five`)).toBeNull();
    expect(await realFiles.kind("/dev/null")).toBe("character");
    expect(await realFiles.deviceNumber("/dev/null")).toEqual({ major: 1, minor: 3 });
    expect(await realFiles.deviceNumber(`${directory}/five`)).toBeNull();
  });

  test("a temporary directory is private and takes its content with it", async () => {
    let path = "";
    {
      await using temporary = await realFiles.temporaryDirectory("files-test-");
      path = temporary.path;
      expect((await stat(path)).mode & 0o777).toBe(0o700);
      await mkdir(`${path}/deep`);
      await writeFile(`${path}/deep/file`, "x");
      await chmod(`${path}/deep`, 0o500);
    }
    expect(await realFiles.kind(path)).toBeNull();
  });
});
