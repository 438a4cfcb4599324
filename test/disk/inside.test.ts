import { expect, test } from "bun:test";
import { mkdir, symlink } from "node:fs/promises";
import { resolveInside, UnsafePathError } from "../../src/disk/inside.ts";
import { createSystem } from "../../src/system/real.ts";
import { rejection } from "../support/rejection.ts";

const system = createSystem({ name: "test", debug: false, json: false, file: "/dev/null", stream: "stderr" });

test("links of an image are followed inside it", async () => {
  await using directory = await system.files.temporaryDirectory("inside-");
  const root = directory.path;
  await mkdir(`${root}/real/deep`, { recursive: true });
  await symlink("/real", `${root}/absolute`);
  await symlink("../../../../../etc", `${root}/real/escape`);
  await symlink("/", `${root}/everything`);
  await symlink("b", `${root}/a`);
  await symlink("a", `${root}/b`);
  const at = (path: string) => resolveInside(system, root, path);
  expect(await at("/absolute/deep/file")).toBe(`${root}/real/deep/file`);
  expect(await at("/real/escape/passwd")).toBe(`${root}/etc/passwd`);
  expect(await at("/everything/everything/real")).toBe(`${root}/real`);
  expect(await at("../../etc/passwd")).toBe(`${root}/etc/passwd`);
  expect(await at("/missing/./x")).toBe(`${root}/missing/x`);
  expect(await rejection(at("/a/x"))).toBeInstanceOf(UnsafePathError);
});
