// `bun run image` with what goes wrong: one line that says what to do, an exit code, and nothing half-made left. The command itself
// is run; nothing here gets as far as downloading anything.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createDiskImage } from "../../image-elements/build/disk-image.ts";
import { run } from "../rig/programs.ts";
import { rejection } from "../support/rejection.ts";

const BUILD = resolve(import.meta.dir, "../../image-elements/build.ts");
let directory: string;
let agent: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "image-"));
  agent = join(directory, "agent");
  writeFileSync(agent, elf(62));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** The beginning of a program for the processor with this number. */
function elf(machine: number): Uint8Array {
  const header = Buffer.alloc(64);
  header.write("\x7fELF", "latin1");
  header.writeUInt16LE(machine, 18);
  return header;
}

/** Exit code and error output of the command, and what is in the output directory afterwards. */
async function build(args: readonly string[], env: Record<string, string> = {}) {
  const output = mkdtempSync(join(directory, "out-"));
  const child = Bun.spawn([process.execPath, "run", BUILD, ...args, "-o", join(output, "ipa")], {
    env: { ...process.env, ...env },
    stdout: "ignore",
    stderr: "pipe",
  });
  const [text, code] = await Promise.all([child.stderr.text(), child.exited]);
  return { code, text, left: readdirSync(output) };
}

const mirror = ["--mirror", "http://127.0.0.1:1/debian"];

test("an unknown distribution", async () => {
  const { code, text, left } = await build(["--distro", "plan9"]);
  expect({ code, left }).toEqual({ code: 2, left: [] });
  expect(text).toBe('image: there is no distribution "plan9"; known: debian, ubuntu, centos, fedora\n');
});

test("a missing agent, one for another processor, and one that is no program", async () => {
  const arm = join(directory, "arm");
  writeFileSync(arm, elf(183));
  const script = join(directory, "script");
  writeFileSync(script, "#!/bin/sh\necho this is long enough to be read\n");
  for (const [file, message] of [
    [join(directory, "missing"), `the agent ${directory}/missing cannot be read: ENOENT`],
    [arm, `the agent ${arm} is for arm64, the image for amd64`],
    [script, `the agent ${script} is no Linux program`],
  ] as const) {
    const { code, text, left } = await build(["debian", "--agent", file]);
    expect({ code, left }).toEqual({ code: 1, left: [] });
    expect(text).toStartWith(`image: ${message}`);
    expect(text.trim().split("\n")).toHaveLength(1);
  }
});

test("a certificate that cannot be read", async () => {
  const certificate = join(directory, "missing.crt");
  const { code, text, left } = await build(["debian", "--agent", agent, "-e", "ironic-agent-tls"], {
    DIB_IPA_CERT_FILE: certificate,
  });
  expect({ code, left }).toEqual({ code: 1, left: [] });
  expect(text).toStartWith(`image: DIB_IPA_CERT_FILE=${certificate} cannot be read: ENOENT`);
});

test("certificates that are none, before anything is fetched; directories made for the results go again", async () => {
  await using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(null) });
  const garbage = join(directory, "garbage.pem");
  writeFileSync(garbage, "no certificate\n");
  const output = mkdtempSync(join(directory, "out-"));
  const args = ["debian", "--agent", agent, "--mirror", `http://127.0.0.1:${server.port}`];
  const tls = { DIB_IPA_CERT_FILE: garbage, DIB_IPA_KEY_FILE: garbage };
  for (const [env, more, message] of [
    [{ DIB_IPA_CERT: garbage }, [], `${garbage} holds no certificate in PEM`],
    [tls, ["-e", "ironic-agent-tls"], `ironic-agent-tls: ${garbage} holds no certificate in PEM`],
  ] as const) {
    const child = Bun.spawn(
      [process.execPath, "run", BUILD, ...args, ...more, "-o", join(output, "new/one/")],
      { env: { ...process.env, ...env }, stdout: "pipe", stderr: "pipe" },
    );
    const [shown, text] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    expect({ code: await child.exited, text }).toEqual({ code: 1, text: `image: ${message}\n` });
    expect(shown).not.toContain("diskimage-builder");
    expect(readdirSync(output)).toEqual([]);
  }
});

test("an element that does not exist, and a directory of elements that does not", async () => {
  const element = await build(["debian", "--agent", agent, "-e", "no-such-element"]);
  expect(element).toMatchObject({ code: 1, left: [] });
  expect(element.text).toMatch(
    /^image: there is no element "no-such-element" in \S+image-elements\/dib, \S+elements\n$/,
  );
  const path = await build(["debian", "--agent", agent, "--elements-path", "/no/such/directory"]);
  expect(path).toMatchObject({ code: 1, left: [] });
  expect(path.text).toBe("image: there is no directory of elements /no/such/directory\n");
});

test("no keys to verify packages with", async () => {
  const { code, text, left } = await build(["debian", "--agent", agent], {
    DIB_APT_KEYRING: "/no/such/keyring.gpg",
  });
  expect({ code, left }).toEqual({ code: 1, left: [] });
  expect(text).toStartWith(
    "image: the packages of debian could not be verified: there is no keyring /no/such/keyring.gpg",
  );
});

test("no network", async () => {
  const { code, text, left } = await build(["debian", "--agent", agent, ...mirror]);
  expect({ code, left }).toEqual({ code: 1, left: [] });
  expect(text).toStartWith(
    "image: no network? The package mirror http://127.0.0.1:1/debian does not answer: ",
  );
  expect(text.trim().split("\n")).toHaveLength(1);
});

test("a release that the mirror does not have", async () => {
  await using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => new Response(null, { status: 404 }),
  });
  const url = `http://127.0.0.1:${server.port}/debian`;
  const { code, text, left } = await build(["debian", "-r", "woody", "--agent", agent, "--mirror", url]);
  expect({ code, left }).toEqual({ code: 1, left: [] });
  expect(text).toBe(`image: the mirror ${url} has no release "woody" of debian\n`);
});

test("a commit that does not exist", async () => {
  await using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(null) });
  const { code, text, left } = await build([
    "debian",
    "-b",
    "no-such-ref",
    "--mirror",
    `http://127.0.0.1:${server.port}`,
  ]);
  expect({ code, left }).toEqual({ code: 1, left: [] });
  expect(text).toMatch(/^image: --branch no-such-ref: there is no such commit, branch or tag in \S+\n$/);
});

/** Stands in for disk-image-create: what is tested is what is made of its failures. */
async function standIn(script: string) {
  const work = mkdtempSync(join(directory, "work-"));
  const bin = join(directory, `bin-${crypto.randomUUID()}`);
  mkdirSync(bin);
  writeFileSync(join(bin, "disk-image-create"), `#!/bin/bash\n${script}`);
  chmodSync(join(bin, "disk-image-create"), 0o755);
  const lines: string[] = [];
  const created = createDiskImage({
    name: "ipa",
    elements: ["debian-minimal"],
    architecture: "amd64",
    extraArguments: [],
    environment: { PATH: `${bin}:/usr/sbin:/usr/bin:/sbin:/bin` },
    work,
    logFile: join(directory, `${crypto.randomUUID()}.log`),
    onLine: (line) => lines.push(line),
    signal: AbortSignal.timeout(60_000),
  });
  return { created, work, lines };
}

test("an element's own words are the error; loop devices and mounts of the build are gone", async () => {
  const { created, work, lines } = await standIn(`
truncate --size 16M "$TMP_DIR/image.raw"
losetup --find --show "$TMP_DIR/image.raw"
mount -t tmpfs tmpfs "$TMP_DIR"
echo "ERROR: ironic-agent-tls: agent.key is not the key of agent.crt"
exit 1`);
  const { message } = (await rejection(created)) as Error;
  expect(message).toStartWith("ironic-agent-tls: agent.key is not the key of agent.crt\n  full log: ");
  expect(lines[0]).toMatch(/^\/dev\/loop\d+$/);
  const { stdout } = await run(["losetup", "--list", "--noheadings", "--output", "BACK-FILE"]);
  expect(stdout).not.toContain(work);
  expect((await run(["cat", "/proc/mounts"])).stdout).not.toContain(work);
});

test("without such words the last lines are quoted", async () => {
  const { created } = await standIn("echo something odd; exit 3");
  const { message } = (await rejection(created)) as Error;
  expect(message).toContain("diskimage-builder failed with exit code 3");
  expect(message).toContain("  | something odd");
});
