// npm run test:release: two releases of the same sources, made in different places, at different times and under different
// settings, are the same to the last bit; the executables run, the one for arm64 emulated; the examples of plug-ins compile with
// the package of types. Exit code 0 if so.

import { cp, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { AGENT_VERSION } from "../../src/version.ts";
import { run } from "../rig/programs.ts";

const ROOT = resolve(import.meta.dir, "../..");
const RELEASE = "dist/release";
const BUILD_TIMEOUT_MS = 900_000;

/** How each executable is run on x86-64; the emulator finds arm64's C library where Debian's cross compilers have it. */
const RUNNERS: Readonly<Record<string, readonly string[]>> = {
  x64: [],
  arm64: ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"],
};

/** What may be different where somebody else builds. */
const BUILDERS = [
  { path: "a", umask: "022", env: { TZ: "UTC", LANG: "C.UTF-8", HOME: "/root" } },
  {
    path: "builds/of/somebody/else",
    umask: "077",
    env: { TZ: "Asia/Tokyo", LANG: "tr_TR.UTF-8", HOME: "/" },
  },
];

const { stdout } = await run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], {
  cwd: ROOT,
});
const files = stdout.split("\0").filter((name) => name !== "");
const { stdout: commitTime } = await run(["git", "log", "-1", "--format=%ct"], { cwd: ROOT });
const work = await mkdtemp(join(tmpdir(), "test-release-"));
try {
  const releases: string[] = [];
  for (const { path, umask, env } of BUILDERS) {
    const directory = join(work, path);
    console.log(`building in ${directory}`);
    for (const name of files) {
      await mkdir(dirname(join(directory, name)), { recursive: true });
      await cp(join(ROOT, name), join(directory, name));
    }
    await run(["cp", "-a", "--reflink=auto", join(ROOT, "node_modules"), join(directory, "node_modules")]);
    const build = `umask ${umask} && exec "$0" run build.ts --release`;
    await run(["sh", "-c", build, process.execPath], {
      cwd: directory,
      env: { ...env, SOURCE_DATE_EPOCH: commitTime.trim() },
      timeoutMs: BUILD_TIMEOUT_MS,
    });
    await run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], { cwd: join(directory, RELEASE) });
    releases.push(join(directory, RELEASE));
  }
  process.exitCode = (await differences(releases)) === 0 ? 0 : 1;
  for (const [target, runner] of Object.entries(RUNNERS))
    await runs(target, [...runner, join(releases[0] ?? "", `ironic-python-agent-linux-${target}`)]);
  await compiles(join(releases[0] ?? "", `ironic-agent-sdk-${AGENT_VERSION}.tgz`), join(work, "plugins"));
} finally {
  await rm(work, { recursive: true, force: true });
}

/** Prints a line per file; how many are not the same everywhere. */
async function differences([first = "", ...others]: string[]): Promise<number> {
  let count = 0;
  const names = new Set((await Promise.all([first, ...others].map((path) => readdir(path)))).flat());
  for (const name of [...names].sort()) {
    const contents = await Promise.all(
      [first, ...others].map((path) => readFile(join(path, name)).catch(() => null)),
    );
    const same = contents.every((content) => content !== null && contents[0]?.equals(content));
    console.log(`${same ? "the same  " : "DIFFERENT "} ${name}`);
    if (!same) count++;
  }
  return count;
}

/** Throws unless the executable says its version and which features are off. */
async function runs(target: string, command: readonly string[]): Promise<void> {
  const { stdout: version } = await run([...command, "--version"]);
  const { stdout: missing } = await run([...command, "check", "--format", "json"]);
  if (version.trim() !== AGENT_VERSION) throw new Error(`${target}: --version printed "${version.trim()}"`);
  JSON.parse(missing);
  console.log(`runs       ironic-python-agent-linux-${target}: ${version.trim()}`);
}

/** Throws unless the examples compile as docs/hardware-managers.md says, with the types where npm would put them. */
async function compiles(archive: string, directory: string): Promise<void> {
  const types = join(directory, "node_modules/ironic-agent");
  await mkdir(types, { recursive: true });
  await run(["tar", "-xzf", archive, "--strip-components=1", "-C", types]);
  const examples = (await readdir(join(ROOT, "docs/examples"))).filter((name) => name.endsWith(".ts"));
  for (const name of examples) await cp(join(ROOT, "docs/examples", name), join(directory, name));
  const flags = "--noEmit --strict --target esnext --module preserve --lib esnext,dom".split(" ");
  await run([join(ROOT, "node_modules/.bin/tsc"), ...flags, ...examples], { cwd: directory });
  console.log(`compile    ${examples.join(", ")}`);
}
