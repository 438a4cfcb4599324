import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConsoleReader, consoleTail, plainText } from "../rig/console.ts";

let directory = "";
let file = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "console-test-"));
  file = join(directory, "console.log");
});
afterEach(() => rm(directory, { recursive: true }));

test("colours, cursor movement and carriage returns are no text", () => {
  // From systemd and from SeaBIOS on a serial console.
  expect(
    plainText("[\u001b[0;32m  OK  \u001b[0m] Reached target \u001b[0;1;39mbasic.target\u001b[0m.\r"),
  ).toBe("[  OK  ] Reached target basic.target.");
  expect(plainText("\u001bc\u001b[?7l\u001b[2J\u001b[0mBooting\tfrom disk\n")).toBe("Booting\tfrom disk\n");
});

test("lines are given once, an unfinished one each time it has grown", async () => {
  const reader = new ConsoleReader(file);
  expect([...reader.newLines()]).toEqual([]);
  await writeFile(file, "one\r\ntwo\r\nlog");
  expect([...reader.newLines()]).toEqual(["one", "two", "log"]);
  expect([...reader.newLines()]).toEqual([]);
  await appendFile(file, "in: ");
  expect([...reader.newLines()]).toEqual(["login: "]);
  await appendFile(file, "\nthree\n");
  expect([...reader.newLines()]).toEqual(["login: ", "three"]);
});

test("a character cut in two by the end of a read stays whole", async () => {
  const bytes = Buffer.from("grün\n");
  await writeFile(file, bytes.subarray(0, 3));
  const reader = new ConsoleReader(file);
  expect([...reader.newLines()]).toEqual(["gr"]);
  await appendFile(file, bytes.subarray(3));
  expect([...reader.newLines()]).toEqual(["grün"]);
});

test("the tail is the last lines that say something", async () => {
  expect(consoleTail(file, 3)).toBe("");
  await writeFile(file, `${"x".repeat(200_000)}\nfirst\n\n  \nsecond\r\nlast`);
  expect(consoleTail(file, 2)).toBe("second\nlast");
  expect(consoleTail(file, 3)).toBe("first\nsecond\nlast");
});
