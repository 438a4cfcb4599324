// image-elements/tinyipa: its scripts are clean, and what goes wrong is said in one line, with an exit code and nothing left behind.
// That its ramdisk starts: npm run test:image -- tinyipa.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { run } from "../rig/programs.ts";

const TINYIPA = resolve(import.meta.dir, "../../image-elements/tinyipa");
const DISTRIBUTION = "15.x/x86_64/release/distribution_files";
let directory: string;
let agent: string;
let mirror: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "tinyipa-"));
  agent = join(directory, "agent");
  writeFileSync(agent, elf(62));
  mirror = join(directory, "mirror");
  mkdirSync(join(mirror, DISTRIBUTION), { recursive: true });
  mkdirSync(join(mirror, "15.x/x86_64/tcz"));
  writeFileSync(join(mirror, DISTRIBUTION, "vmlinuz64"), "kernel");
  await makeCore([
    "etc/inittab",
    "etc/passwd",
    "etc/shadow",
    "etc/sudoers",
    "lib/modules/6.6.8-tinycore64/x",
  ]);
});
afterAll(() => rmSync(directory, { recursive: true }));

/** The beginning of a program for the processor with this number. */
function elf(machine: number): Uint8Array {
  const header = Buffer.alloc(64);
  header.write("\x7fELF\x02\x01", "latin1");
  header.writeUInt16LE(machine, 18);
  return header;
}

async function makeCore(files: readonly string[]): Promise<void> {
  const tree = mkdtempSync(join(directory, "core-"));
  for (const file of files) {
    mkdirSync(join(tree, file, ".."), { recursive: true });
    writeFileSync(join(tree, file), "");
  }
  const { stdout } = await run(["sh", "-c", "find . | cpio --create -H newc --quiet | base64"], {
    cwd: tree,
  });
  writeFileSync(join(mirror, DISTRIBUTION, "corepure64.gz"), gzipSync(Buffer.from(stdout, "base64")));
}

/** Exit code and error output of the build, and what is in the output directory afterwards. */
async function build(env: Record<string, string>) {
  const output = mkdtempSync(join(directory, "out-"));
  const child = Bun.spawn([join(TINYIPA, "build.sh")], {
    env: {
      PATH: process.env.PATH ?? "",
      HOME: directory,
      TINYCORE_MIRROR_URL: mirror,
      IRONIC_AGENT: agent,
      OUTPUT: output,
      ...env,
    },
    stdout: "ignore",
    stderr: "pipe",
  });
  const [text, code] = await Promise.all([child.stderr.text(), child.exited]);
  return { code, text, left: readdirSync(output) };
}

async function refusal(env: Record<string, string>): Promise<string> {
  const { code, text, left } = await build(env);
  expect({ code, left }).toEqual({ code: 1, left: [] });
  expect(text.trim().split("\n")).toHaveLength(1);
  return text.trim();
}

test("shellcheck finds nothing in its scripts, nor in those of the stand-in for the mirror", async () => {
  const { stdout } = await run([
    "grep",
    "-rlE",
    "^#!|shellcheck shell",
    TINYIPA,
    join(import.meta.dir, "tinycore"),
  ]);
  const scripts = stdout.trim().split("\n");
  expect(scripts.length).toBeGreaterThan(10);
  await run(["shellcheck", "--external-sources", "--source-path=SCRIPTDIR", ...scripts]);
});

test("no mirror, one that cannot be reached, and a folder that is none", async () => {
  expect(await refusal({ TINYCORE_MIRROR_URL: "" })).toStartWith("tinyipa: TINYCORE_MIRROR_URL is not set: ");
  expect(await refusal({ TINYCORE_MIRROR_URL: "/no/such/folder" })).toBe(
    "tinyipa: TINYCORE_MIRROR_URL names no folder: /no/such/folder",
  );
  // Nobody listens on port 1.
  expect(await refusal({ TINYCORE_MIRROR_URL: "http://127.0.0.1:1" })).toMatch(
    /^tinyipa: http:\/\/127\.0\.0\.1:1\/15\.x\/\S+\/corepure64\.gz cannot be fetched: curl: \(7\) /,
  );
});

test("a mirror without the release, and one that answers with an error", async () => {
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: ({ url }) => new Response("", { status: url.includes("/14.x/") ? 403 : 404 }),
  });
  const TINYCORE_MIRROR_URL = `http://127.0.0.1:${server.port}`;
  const path = "15.x/x86_64/release/distribution_files/corepure64.gz";
  expect(await refusal({ TINYCORE_MIRROR_URL })).toBe(
    `tinyipa: the mirror has no ${path}: ${TINYCORE_MIRROR_URL}`,
  );
  expect(await refusal({ TINYCORE_MIRROR_URL, TC_RELEASE: "14.x" })).toEndWith(
    "cannot be fetched: HTTP status 403",
  );
});

test("an interruption while the mirror keeps it waiting", async () => {
  const asked = Promise.withResolvers<void>();
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => {
      asked.resolve();
      return new Promise<Response>(() => {});
    },
  });
  const output = mkdtempSync(join(directory, "out-"));
  // In a group of its own, as on a terminal: Ctrl-C reaches curl, too.
  const child = Bun.spawn(["setsid", join(TINYIPA, "build.sh")], {
    env: {
      PATH: process.env.PATH ?? "",
      TINYCORE_MIRROR_URL: `http://127.0.0.1:${server.port}`,
      IRONIC_AGENT: agent,
      OUTPUT: output,
    },
    stdout: "ignore",
    stderr: "ignore",
  });
  await asked.promise;
  expect(readdirSync(output)).toHaveLength(1);
  process.kill(-child.pid, "SIGINT");
  expect(await child.exited).toBe(130);
  expect(readdirSync(output)).toEqual([]);
});

test("a missing agent, one for another machine, and one that is no program", async () => {
  expect(await refusal({ IRONIC_AGENT: "/missing" })).toBe(
    "tinyipa: the agent's executable /missing does not exist",
  );
  const other = join(directory, "other");
  writeFileSync(other, elf(183));
  expect(await refusal({ IRONIC_AGENT: other })).toContain(
    "is for arm64, and Tiny Core's corepure64 is for x86-64",
  );
  writeFileSync(other, elf(243));
  expect(await refusal({ IRONIC_AGENT: other })).toContain("is for another machine (ELF number 0x00f3)");
  writeFileSync(other, "#!/bin/sh\necho long enough to be looked at\n");
  expect(await refusal({ IRONIC_AGENT: other })).toContain("is not a 64-bit ELF program");
});

test("SSH keys that are missing, private or none", async () => {
  expect(await refusal({ AUTHORIZE_SSH: "true" })).toContain(
    "AUTHORIZE_SSH needs a key: there is none in ~/.ssh",
  );
  const key = join(directory, "key");
  const wrong = { AUTHORIZE_SSH: "true", SSH_PUBLIC_KEY: key };
  expect(await refusal(wrong)).toBe(`tinyipa: the public SSH key ${key} does not exist`);
  writeFileSync(key, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
  expect(await refusal(wrong)).toContain("is a private key; SSH_PUBLIC_KEY wants the public one");
  writeFileSync(key, "hello\n");
  expect(await refusal(wrong)).toBe(`tinyipa: ${key} holds no public SSH key`);
  expect(await refusal({ ...wrong, INSTALL_SSH: "false" })).toBe(
    "tinyipa: AUTHORIZE_SSH needs INSTALL_SSH=true",
  );
});

test("values that cannot be meant", async () => {
  expect(await refusal({ COMPRESSION: "rar" })).toBe(
    'tinyipa: COMPRESSION must be gzip, zstd or xz, not "rar"',
  );
  expect(await refusal({ AUTOLOGIN: "maybe" })).toBe('tinyipa: AUTOLOGIN must be true or false, not "maybe"');
  expect(await refusal({ BRANCH_PATH: "../x" })).toContain("BRANCH_PATH may hold letters, digits and ._-");
  expect(await refusal({ OVERLAY: "/no/such" })).toBe("tinyipa: OVERLAY names no folder: /no/such");
  expect(await refusal({ EXTRA_EXTENSIONS: "../../x" })).toBe(
    'tinyipa: "../../x" is no name of an extension',
  );
});

test("files that are not what they should be", async () => {
  const sums = join(directory, "sums");
  writeFileSync(sums, "");
  expect(await refusal({ TINYCORE_SHA256SUMS: sums })).toContain("is empty");
  writeFileSync(sums, `${"0".repeat(64)}  ${DISTRIBUTION}/corepure64.gz\n`);
  expect(await refusal({ TINYCORE_SHA256SUMS: sums })).toContain(`is not what ${sums} says: SHA-256 `);
  const md5 = join(mirror, DISTRIBUTION, "vmlinuz64.md5.txt");
  writeFileSync(md5, "d41d8cd98f00b204e9800998ecf8427e  vmlinuz64\n");
  expect(await refusal({})).toContain(
    "vmlinuz64 is damaged: its MD5 is not d41d8cd98f00b204e9800998ecf8427e",
  );
  rmSync(md5);
  // What the mirror of this test has is no more than its beginning.
  expect(await refusal({})).toBe(`tinyipa: the mirror has no 15.x/x86_64/tcz/coreutils.tcz: ${mirror}`);
});

test("an output that cannot be written to, and a kernel without modules", async () => {
  const { code, text } = await build({ OUTPUT: "/proc" });
  expect({ code, lines: text.trim().split("\n").length }).toEqual({ code: 1, lines: 1 });
  await makeCore(["etc/inittab"]);
  expect(await refusal({})).toBe(
    "tinyipa: corepure64.gz holds no kernel modules, or those of several kernels",
  );
  chmodSync(directory, 0o700);
});
