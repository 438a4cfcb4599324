// The first command on a fresh machine: needs only Node.js, npm and root on Debian. It gets the pinned Bun, the
// dependencies and the Debian packages that a mode needs, then runs the mode's steps. With everything in place it adds
// a fraction of a second. Plain Node without dependencies, because nothing else is there yet.

import { spawn } from "node:child_process";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { constants, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const BIN = join(ROOT, "node_modules/.bin");
const APT_LOG = join(ROOT, ".cache/setup/apt.log");
const POLICY = "/usr/sbin/policy-rc.d";
const POLICY_DENIES = 101;
const DENYING_POLICY = `#!/bin/sh\n# Of ironic-agent's test/setup.mjs, for the time of an installation.\nexit ${POLICY_DENIES}\n`;
/** Without this option a mirror that cannot be reached is no error for apt. */
const UPDATE = ["update", "--error-on=any"];

/** Tools that tests run for real, on files and loop devices. */
const TEST_PACKAGES = [
  // A server that wants certificates of its clients.
  "nginx-light",
  "ca-certificates",
  "cpio",
  "curl",
  "dmidecode",
  "dnsmasq-base",
  "dosfstools",
  "e2fsprogs",
  "fdisk",
  "fio",
  "gdisk",
  "genisoimage",
  "iproute2",
  "jq",
  "kmod",
  "mount",
  "mtools",
  "openssl",
  "parted",
  "procps",
  "python3",
  "python3-diskimage-builder",
  "python3-requests",
  // Its iSCSI client writes to the target of tgt.
  "qemu-block-extra",
  "qemu-system-x86",
  "qemu-utils",
  "shellcheck",
  "squashfs-tools",
  "stress-ng",
  "tgt",
  "systemd",
  "udev",
  "xfsprogs",
  "xz-utils",
  "zstd",
];

/** What the agent's figures are set beside: the reference's way to stream an image, and the tools of the inventory. */
const BENCH_PACKAGES = ["dmidecode", "lshw", "python3-requests"];
const BENCH_IMAGE_PACKAGES = ["mount", "nginx-light", "python3-requests", "qemu-utils"];

/** What builds the ramdisk and the image, and what they are booted in. */
const DEMO_PACKAGES = [
  "cpio",
  "debian-archive-keyring",
  "dnsmasq-base",
  "dosfstools",
  "e2fsprogs",
  "gdisk",
  "genisoimage",
  "grub-common",
  "grub-efi-amd64-bin",
  "grub-pc-bin",
  "iproute2",
  "mmdebstrap",
  "mount",
  "mtools",
  "ovmf",
  "parted",
  // The conductor of `--iscsi` writes with its iSCSI client.
  "qemu-block-extra",
  "qemu-system-x86",
  "qemu-utils",
  "socat",
];

/** diskimage-builder, what it calls for Debian and the others, and what makes an ISO of kernel and ramdisk. */
const IMAGE_PACKAGES = [
  "cpio",
  "debian-archive-keyring",
  "debootstrap",
  "dosfstools",
  "e2fsprogs",
  "grub-common",
  "grub-efi-amd64-bin",
  "grub-pc-bin",
  "kpartx",
  "mount",
  "mtools",
  "openssl",
  "python3-diskimage-builder",
  "qemu-utils",
  "sudo",
  "xorriso",
  "xz-utils",
  "zstd",
];

/** What image-elements/tinyipa calls, beside what every machine has. */
const TINYIPA_PACKAGES = ["cpio", "curl", "kmod", "make", "squashfs-tools"];

/** The real Ironic with its client, inspector, the BMC that Ironic talks to, and the tools that make disks with an earlier life. */
const IRONIC_PACKAGES = [
  ...DEMO_PACKAGES,
  "ipmitool",
  "ironic-api",
  "ironic-conductor",
  "ironic-inspector",
  "lvm2",
  "mdadm",
  "openipmi",
  "python3-ironicclient",
];

/** For the machines' BMC, and for the switch at the other end of their cables. */
const VM_PACKAGES = [...DEMO_PACKAGES, "ipmitool", "lldpd", "openipmi"];

/**
 * Every mode: the Debian packages it needs and the steps it runs, by its arguments. A step's own arguments begin with a
 * program in BIN.
 */
const MODES = {
  test: {
    packages: () => TEST_PACKAGES,
    summary: true,
    steps: () => [
      { name: "type check", argv: ["tsc", "--noEmit"] },
      { name: "lint and format", argv: ["biome", "check"] },
      // One test runs the executable itself.
      { name: "build", argv: ["bun", "run", "build.ts"] },
      { name: "unit tests", argv: ["bun", "test", "--timeout", "120000"], countsTests: true },
    ],
  },
  build: {
    packages: () => [],
    summary: false,
    steps: (args) => [{ name: "build", argv: ["bun", "run", "build.ts", ...args], quiet: true }],
  },
  release: {
    packages: () => [],
    summary: false,
    steps: () => [{ name: "release", argv: ["bun", "run", "build.ts", "--release"], quiet: true }],
  },
  "test:release": {
    // The arm64 executable is run, too.
    packages: () => ["git", "libc6-arm64-cross", "qemu-user"],
    summary: false,
    steps: () => [{ name: "release", argv: ["bun", "run", "test/build/reproducible.ts"], quiet: true }],
  },
  image: {
    packages: () => IMAGE_PACKAGES,
    summary: false,
    steps: (args) => [
      { name: "image", argv: ["bun", "run", "image-elements/build.ts", ...args], quiet: true },
    ],
  },
  "test:image": {
    packages: () => [
      ...new Set([...IMAGE_PACKAGES, ...DEMO_PACKAGES, ...TINYIPA_PACKAGES, "openssh-client"]),
    ],
    summary: false,
    steps: (args) => [
      { name: "images", argv: ["bun", "run", "test/image-elements/main.ts", ...args], quiet: true },
    ],
  },
  bench: {
    packages: () => BENCH_PACKAGES,
    summary: false,
    steps: (args) => [
      { name: "build", argv: ["bun", "run", "build.ts"] },
      { name: "benchmarks", argv: ["bun", "run", "test/bench/main.ts", ...args] },
    ],
  },
  "bench:image": {
    packages: () => BENCH_IMAGE_PACKAGES,
    summary: false,
    steps: (args) => [{ name: "images", argv: ["bun", "run", "test/bench/image.ts", ...args], quiet: true }],
  },
  "bench:vm": {
    packages: () => DEMO_PACKAGES,
    summary: false,
    steps: (args) => [{ name: "machines", argv: ["bun", "run", "test/bench/vm.ts", ...args], quiet: true }],
  },
  "bench:fleet": {
    packages: (args) => (args.includes("--embedded") ? [] : IRONIC_PACKAGES),
    summary: false,
    steps: (args) => [{ name: "fleet", argv: ["bun", "run", "test/bench/fleet.ts", ...args], quiet: true }],
  },
  demo: {
    packages: (args) => (args.includes("--ironic") ? IRONIC_PACKAGES : DEMO_PACKAGES),
    summary: false,
    // The demo builds the agent itself, as its first phase.
    steps: (args) => [{ name: "demo", argv: ["bun", "run", "test/demo/main.ts", ...args], quiet: true }],
  },
  "test:ironic": {
    packages: () => IRONIC_PACKAGES,
    summary: false,
    steps: (args) => [
      { name: "scenarios", argv: ["bun", "run", "test/ironic/main.ts", ...args], quiet: true },
    ],
  },
  "test:vm": {
    packages: () => VM_PACKAGES,
    summary: false,
    steps: (args) => [{ name: "machines", argv: ["bun", "run", "test/vm/main.ts", ...args], quiet: true }],
  },
  "test:interrupt": {
    packages: () => IRONIC_PACKAGES,
    summary: false,
    steps: () => [{ name: "Ctrl-C", argv: ["bun", "run", "test/ironic/interruption.ts"] }],
  },
};

/** A failure that a person can act on; printed as it is. */
class SetupError extends Error {}

async function main([modeName, ...args]) {
  const mode = MODES[modeName];
  if (mode === undefined) {
    throw new SetupError(`usage: node test/setup.mjs ${Object.keys(MODES).join("|")} [ARGUMENTS]`);
  }
  if (Number(process.versions.node.split(".")[0]) < 20) {
    throw new SetupError(`Node.js 20 or newer is needed, this is ${process.versions.node}`);
  }
  if (process.getuid?.() !== 0) throw new SetupError("root is needed: run it as root");
  await installPackages(mode.packages(args));
  await installDependencies();
  return await runSteps(mode.steps(args), mode.summary);
}

// Debian packages ------------------------------------------------------------------------------------------------

async function installPackages(packages) {
  const missing = await missingPackages(packages);
  if (missing.length === 0) return;
  say(`installing Debian packages: ${missing.join(" ")}`);
  const started = performance.now();
  await withServicesDenied(async () => {
    if (!havePackageLists()) await apt(UPDATE);
    const install = ["install", "--yes", "--no-install-recommends", ...missing];
    try {
      await apt(install);
    } catch {
      // The usual reason is that the package lists are older than the mirror; with fresh ones the second failure counts.
      await apt(UPDATE);
      await apt(install);
    }
  });
  say(`Debian packages installed in ${seconds(started)}`);
}

async function missingPackages(packages) {
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  if (!/^ID="?debian"?$/m.test(release)) {
    const name = /^PRETTY_NAME="?([^"\n]*)/m.exec(release)?.[1] ?? "an unknown system";
    throw new SetupError(`Debian 12 is needed, because packages are installed from it; this is ${name}`);
  }
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is dpkg's own template
  const format = "${Package} ${db:Status-Status}\n";
  const query = await capture("dpkg-query", ["-W", "-f", format, ...packages]);
  const installed = new Set(
    query.output
      .split("\n")
      .filter((line) => line.endsWith(" installed"))
      .map((line) => line.split(" ")[0]),
  );
  return packages.filter((name) => !installed.has(name));
}

function havePackageLists() {
  const lists = "/var/lib/apt/lists";
  return existsSync(lists) && readdirSync(lists).some((name) => /_Packages(\.\w+)?$/.test(name));
}

async function apt(args) {
  mkdirSync(dirname(APT_LOG), { recursive: true });
  const log = openSync(APT_LOG, "w");
  const { code } = await run("apt-get", ["-o", "DPkg::Lock::Timeout=300", "-q", ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" },
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  if (code === 0) return;
  const output = readFileSync(APT_LOG, "utf8");
  throwIfNoNetwork(`apt-get ${args[0]}`, output);
  const tail = output.trim().split("\n").slice(-10).join("\n  | ");
  throw new SetupError(
    `apt-get ${args[0]} failed with exit code ${code}\n  | ${tail}\n  full log: ${APT_LOG}`,
  );
}

/** Throws the line in which a program says that it could not reach its server, if that was its trouble. */
function throwIfNoNetwork(what, output) {
  const unreachable =
    /EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|DNSResolveFailed|ConnectionRefused|Temporary failure resolving|Could not (?:resolve|connect)/;
  const line = output.split("\n").findLast((said) => unreachable.test(said));
  if (line === undefined) return;
  throw new SetupError(`no network? ${what}: ${line.trim().replace(/^(?:npm error|error:|[WE]:) */, "")}`);
}

/** Packages must not start services on somebody's machine; a policy that is there already comes back afterwards. */
async function withServicesDenied(action) {
  const saved = `${POLICY}.saved-by-ironic-agent`;
  const restore = () => {
    rmSync(POLICY, { force: true });
    if (existsSync(saved)) renameSync(saved, POLICY);
  };
  // Left behind by a run that was killed.
  if (existsSync(POLICY) && readFileSync(POLICY, "utf8") === DENYING_POLICY) restore();
  const denies = existsSync(POLICY) && (await capture(POLICY, ["any", "start"])).code === POLICY_DENIES;
  if (denies) return await action();
  if (existsSync(POLICY)) renameSync(POLICY, saved);
  writeFileSync(POLICY, DENYING_POLICY);
  chmodSync(POLICY, 0o755);
  try {
    return await action();
  } finally {
    restore();
  }
}

// Bun and the dependencies ---------------------------------------------------------------------------------------

async function installDependencies() {
  const version = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).devDependencies.bun;
  const ours = join(BIN, "bun");
  if (await isBun(ours, version)) {
    await bunInstall(ours);
  } else {
    const started = performance.now();
    say(`installing Bun ${version} and the dependencies from the npm registry`);
    const directory = mkdtempSync(join(tmpdir(), "ironic-agent-bun-"));
    try {
      await bunInstall(await fetchBun(directory, version));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
    say(`Bun and dependencies installed in ${seconds(started)}`);
  }
  if (!(await isBun(ours, version))) await completeBun(join(ROOT, "node_modules/bun"));
  if (!(await isBun(ours, version))) {
    throw new SetupError(
      `${ours} is not Bun ${version} after the installation: remove node_modules and try again`,
    );
  }
}

/** npm brings Bun's executable by a post-install script, which newer releases only run when they are told to. */
async function fetchBun(directory, version) {
  writeFileSync(
    join(directory, "package.json"),
    JSON.stringify({ private: true, allowScripts: { bun: true } }),
  );
  const options = [
    ...["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"],
    // Whoever has no network learns it now: npm would try for many minutes.
    ...["--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"],
  ];
  const { code, output } = await capture("npm", [
    "install",
    "--prefix",
    directory,
    ...options,
    `bun@${version}`,
  ]);
  if (code !== 0) {
    throwIfNoNetwork(`npm could not install bun@${version}`, output);
    throw new SetupError(`npm could not install bun@${version}:\n${output.trim()}`);
  }
  const bun = join(directory, "node_modules/.bin/bun");
  if (!(await isBun(bun, version))) await completeBun(join(directory, "node_modules/bun"));
  return bun;
}

/** The post-install script, in case that nobody ran it. */
async function completeBun(packageDirectory) {
  const { code, output } = await capture(process.execPath, ["install.js"], { cwd: packageDirectory });
  if (code !== 0) throw new SetupError(`Bun's post-install script failed:\n${output.trim()}`);
}

async function isBun(file, version) {
  return existsSync(file) && (await capture(file, ["--version"])).output.trim() === version;
}

async function bunInstall(bun) {
  const { code, output } = await capture(bun, ["install", "--frozen-lockfile"], { cwd: ROOT });
  if (code === 0) return;
  throwIfNoNetwork("installing the dependencies", output);
  throw new SetupError(`installing the dependencies failed:\n${output.trim()}`);
}

// Steps ----------------------------------------------------------------------------------------------------------

async function runSteps(steps, summary) {
  let passed = 0;
  let failed = 0;
  let exitCode = 0;
  for (const step of steps) {
    const started = performance.now();
    if (!step.quiet) say(step.name);
    const { code, counts } = await runStep(step);
    passed += counts?.passed ?? (code === 0 ? 1 : 0);
    failed += counts?.failed || (code === 0 ? 0 : 1);
    if (code !== 0) {
      if (!step.quiet) say(`${step.name}: failed with exit code ${code} after ${seconds(started)}`);
      exitCode = code;
      break;
    }
    if (!step.quiet) say(`${step.name}: done in ${seconds(started)}`);
  }
  if (summary) process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return exitCode;
}

async function runStep(step) {
  const [program, ...args] = step.argv;
  const env = { ...process.env, PATH: `${BIN}:${process.env.PATH}` };
  if (!step.countsTests) return await run(join(BIN, program), args, { cwd: ROOT, env, stdio: "inherit" });
  if (process.stderr.isTTY) env.FORCE_COLOR = "1";
  let tail = "";
  const result = await run(
    join(BIN, program),
    args,
    { cwd: ROOT, env, stdio: ["inherit", "inherit", "pipe"] },
    (chunk) => {
      process.stderr.write(chunk);
      tail = (tail + chunk.toString()).slice(-4096);
    },
  );
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are made of them
  const plain = tail.replace(/\u001b\[[0-9;]*m/g, "");
  const count = (word) => /^ *(\d+) X$/m.exec(plain.replaceAll(word, "X"))?.[1];
  const counts = { passed: Number(count("pass") ?? 0), failed: Number(count("fail") ?? 0) };
  return { ...result, counts };
}

// Processes ------------------------------------------------------------------------------------------------------

/** The first signal that told this process to end. */
const interruption = { signal: undefined };

/**
 * Runs a program to its end. Ctrl-C reaches it by itself, other signals are passed on: it cleans up after itself, then
 * we do, and then we end.
 */
function run(program, args, options, onErrorOutput) {
  if (interruption.signal !== undefined) throw new SetupError("interrupted");
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, options);
    const onSignal = (signal) => {
      interruption.signal ??= signal;
      if (signal !== "SIGINT") child.kill(signal);
    };
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
    for (const signal of signals) process.on(signal, onSignal);
    const settle = (settled, value) => {
      for (const signal of signals) process.off(signal, onSignal);
      settled(value);
    };
    child.stderr?.on("data", onErrorOutput);
    child.on("error", (error) =>
      settle(reject, new SetupError(`${program} could not be started: ${error.message}`)),
    );
    child.on("close", (code, signal) => settle(resolve, { code: code ?? 128 + constants.signals[signal] }));
  });
}

/** Runs a program and keeps the end of what it prints. */
async function capture(program, args, options = {}) {
  let output = "";
  const collect = (chunk) => {
    output = (output + chunk).slice(-65536);
  };
  // Both outputs into one, in their order.
  const shell = ["-c", 'exec "$0" "$@" >&2', program, ...args];
  const { code } = await run("sh", shell, { ...options, stdio: ["ignore", "ignore", "pipe"] }, collect);
  return { code, output };
}

function say(line) {
  process.stdout.write(`setup: ${line}\n`);
}

function seconds(started) {
  return `${((performance.now() - started) / 1000).toFixed(1)} s`;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  if (interruption.signal === undefined) process.stderr.write(`setup: ${error.message}\n`);
  process.exitCode = 1;
}
if (interruption.signal !== undefined) process.exitCode = 128 + constants.signals[interruption.signal];
