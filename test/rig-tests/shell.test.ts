// Commands in a machine's shell, over a line that behaves like the serial one: it echoes what is typed, ends lines with
// carriage returns and mixes prompts and kernel messages into the output.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runInShell, ShellError } from "../rig/shell.ts";
import { thrower } from "../support/rejection.ts";

const LONG_MS = 20_000;

let directory: string;
let path: string;
let server: Server;
let silent: boolean;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "shell-test-"));
  path = join(directory, "sock");
  silent = false;
  server = createServer((socket) => {
    socket.write("root@ironic-ramdisk:/# ");
    socket.on("data", async (typed) => {
      if (silent) return;
      socket.write(typed.toString().replaceAll("\n", "\r\n"));
      const shell = Bun.spawn(["sh"], { stdin: new Blob([typed.toString()]), stdout: "pipe" });
      const output = await shell.stdout.text();
      socket.write(`\x1b[?2004l${output.replaceAll("\n", "\r\n")}root@ironic-ramdisk:/# `);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
});

afterEach(async () => {
  server.close();
  await rm(directory, { recursive: true });
});

test("output of a command, without echo and prompts", async () => {
  expect(await runInShell(path, "echo one; echo two >&2", LONG_MS)).toBe("one\ntwo");
});

test("a command without output", async () => {
  expect(await runInShell(path, "true", LONG_MS)).toBe("");
});

test("a command that fails", async () => {
  const failure = runInShell(path, "echo no such thing; false", LONG_MS);
  expect(await thrower(failure)).toThrow(ShellError);
  expect(await thrower(failure)).toThrow("exit code 1: no such thing");
});

test("a shell that does not answer", async () => {
  silent = true;
  expect(await thrower(runInShell(path, "true", 100))).toThrow("no answer within 0.1 s");
});

test("nobody listens", async () => {
  expect(await thrower(runInShell(join(directory, "other"), "true", LONG_MS))).toThrow(ShellError);
});
