// Logging in on a line, with what getty, login and a shell print on a serial console.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LoginError, logIn } from "../rig/login.ts";
import { thrower } from "../support/rejection.ts";

const LONG_MS = 20_000;

let directory: string;
let path: string;
let server: Server;
let answers: readonly string[];
let typed: string[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "login-test-"));
  path = join(directory, "sock");
  typed = [];
  server = createServer((socket) => {
    socket.on("data", (data) => {
      typed.push(data.toString());
      socket.write(answers[typed.length - 1] ?? "");
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
});

afterEach(async () => {
  server.close();
  await rm(directory, { recursive: true });
});

test("name and password at the prompts, with a kernel message between them", async () => {
  answers = [
    "\r\nironic-ramdisk login: ",
    "rescue\r\n[  51.2] random: crng init done\r\nPassword: ",
    "\r\nLast login: never\r\n\x1b[?2004hrescue@ironic-ramdisk:~$ ",
  ];
  await logIn(path, { user: "rescue", password: "secret" }, LONG_MS);
  expect(typed).toEqual(["\r", "rescue\r", "secret\r"]);
});

test("a wrong password", async () => {
  answers = ["host login: ", "Password: ", "\r\nLogin incorrect\r\nhost login: "];
  const failure = logIn(path, { user: "rescue", password: "wrong" }, LONG_MS);
  expect(await thrower(failure)).toThrow(LoginError);
  expect(await thrower(failure)).toThrow("logging in as rescue: Login incorrect");
});

test("a console where nobody asks", async () => {
  answers = ["[  50.0] a kernel message\r\n"];
  expect(await thrower(logIn(path, { user: "rescue", password: "x" }, 100))).toThrow(
    "no answer within 0.1 s while waiting for /login: /; last seen: [  50.0] a kernel message",
  );
});
