// The archives are unpacked by cpio(1), which reads the same format as the kernel.

import { expect, test } from "bun:test";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpioArchive } from "../rig/cpio.ts";
import { run } from "../rig/programs.ts";

const haveCpio = Bun.which("cpio") !== null;

test.skipIf(!haveCpio)("an archive unpacks to its files with content, mode and directories", async () => {
  const directory = await mkdtemp(join(tmpdir(), "cpio-test-"));
  try {
    const content = new Uint8Array(4097).fill(7);
    const archive = cpioArchive([
      { path: "/usr/local/bin/program", content, mode: 0o755 },
      { path: "/usr/local/etc/odd", content: new TextEncoder().encode("12345"), mode: 0o600 },
      { path: "/empty", content: new Uint8Array(), mode: 0o644 },
    ]);
    const input = new Uint8Array(Buffer.concat(archive));
    await run(["cpio", "--extract", "--make-directories", "--quiet", "--no-preserve-owner"], {
      cwd: directory,
      input,
    });
    expect(new Uint8Array(await readFile(join(directory, "usr/local/bin/program")))).toEqual(content);
    expect((await stat(join(directory, "usr/local/bin/program"))).mode & 0o7777).toBe(0o755);
    expect(await readFile(join(directory, "usr/local/etc/odd"), "utf8")).toBe("12345");
    expect((await stat(join(directory, "usr/local/etc/odd"))).mode & 0o7777).toBe(0o600);
    expect((await stat(join(directory, "empty"))).size).toBe(0);
    expect((await stat(join(directory, "usr/local"))).mode & 0o7777).toBe(0o755);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("headers and contents are aligned, so that the kernel finds a second archive after the first", () => {
  const parts = cpioArchive([{ path: "/a", content: new Uint8Array([1]), mode: 0o644 }]);
  for (const part of parts) expect(part.length % 4).toBe(0);
});

test("a relative path is refused", () => {
  expect(() => cpioArchive([{ path: "etc/x", content: new Uint8Array(), mode: 0o644 }])).toThrow("etc/x");
});
