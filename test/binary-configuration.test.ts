// The configuration of the executable itself: what it prints and how it ends. Control-plane acceptance 1 to 12, 14 to 16, 18 and 19
// over the real program; the kernel's command line is a file bound over /proc/cmdline in a mount namespace of its own. Nothing of
// this touches the machine: the agent is only asked for its configuration, or serves on a loopback port.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { freePort } from "./support/test-machine.ts";

const BINARY = `${import.meta.dir}/../dist/ironic-python-agent-linux-${process.arch}`;

let home: string;
beforeAll(async () => {
  if (!existsSync(BINARY))
    throw new Error(`${BINARY} is missing: run "bun run build.ts" first, or "npm test"`);
  home = await mkdtemp(`${tmpdir()}/binary-configuration-`);
});
afterAll(() => rm(home, { recursive: true }));

type Start = {
  readonly argv?: readonly string[];
  readonly kernel?: string;
  readonly environment?: Record<string, string>;
  /** Files that stand over those of the machine, by path. */
  readonly instead?: Record<string, string>;
};

async function spawn({ argv = [], kernel = "quiet", environment = {}, instead = {} }: Start) {
  const files = { "/proc/cmdline": `${kernel}\n`, ...instead };
  const binds: string[] = [];
  for (const [index, [path, content]] of Object.entries(files).entries()) {
    const source = `${home}/instead-${index}-${crypto.randomUUID()}`;
    await writeFile(source, content);
    binds.push(`mount --bind ${source} ${path}`);
  }
  const script = [...binds, 'exec "$0" "$@"'].join(" && ");
  return Bun.spawn(["unshare", "--mount", "--", "sh", "-c", script, BINARY, ...argv], {
    env: { PATH: process.env.PATH, HOME: home, ...environment },
    cwd: home,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

async function outcome(start: Start) {
  const child = await spawn(start);
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { exitCode: await child.exited, stdout, stderr };
}

/** Value and origin of an option, as the helper `config` prints them. */
async function option(name: string, { argv = [], ...start }: Start) {
  const { exitCode, stdout, stderr } = await outcome({ ...start, argv: ["config", ...argv] });
  if (exitCode !== 0) throw new Error(`${exitCode}: ${stderr}`);
  const line = stdout.split("\n").find((text) => text.startsWith(`${name} `));
  const [, value, origin] = line?.split(/ {2,}/) ?? [];
  return [value, origin];
}

async function file(name: string, text: string): Promise<string> {
  const path = `${home}/${name}`;
  await mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  await writeFile(path, text);
  return path;
}

describe("the executable's configuration", () => {
  test("control-plane 11.1, 11.2: help ends with 0, wrong use with 2 and one line that names it", async () => {
    expect((await outcome({ argv: ["--help"] })).exitCode).toBe(0);
    for (const [argv, message] of [
      [["--nosuch"], "unknown option: --nosuch"],
      [["--listen_port", "70000"], 'command line --listen_port: bad value "70000" for listen_port'],
      [["--standalone=true"], "--standalone takes no value"],
      [["stray"], "unexpected argument: stray"],
      [["--listen", "1"], "ambiguous option: --listen could be --listen_host, --listen_port"],
    ] as const) {
      const { exitCode, stderr } = await outcome({ argv });
      expect([exitCode, stderr.split("\n").length]).toEqual([2, 3]);
      expect(stderr).toStartWith(`ironic-python-agent: ${message}`);
    }
  });

  test("control-plane 11.3, 11.4: spellings of the command line, and the last of two switches", async () => {
    for (const argv of [["--listen_port=1"], ["--listen_port", "1"], ["--listen-port", "1"]])
      expect((await option("listen_port", { argv }))[0]).toBe("1");
    expect(await option("standalone", { argv: ["--stand"] })).toEqual(["true", "command line --stand"]);
    expect((await option("standalone", { argv: ["--standalone", "--nostandalone"] }))[0]).toBe("false");
  });

  test("control-plane 11.5, 11.6, 11.8: which source wins", async () => {
    const path = await file("f.conf", "[DEFAULT]\nlisten_port = 6\n");
    const kernel = "ipa-listen-port=5";
    const environment = { OS_DEFAULT__LISTEN_PORT: "8" };
    const port = (start: Start) => option("listen_port", start);
    expect(await port({ kernel })).toEqual(["5", "kernel parameter ipa-listen-port"]);
    expect(await port({ kernel, argv: ["--config-file", path] })).toEqual(["6", `${path} line 2`]);
    expect((await port({ kernel, argv: ["--config-file", path, "--listen_port", "7"] }))[0]).toBe("7");
    expect((await port({ argv: ["--listen_port", "7", "--config-file", path] }))[0]).toBe("6");
    expect(await port({ environment, argv: ["--config-file", path] })).toEqual([
      "8",
      "environment variable OS_DEFAULT__LISTEN_PORT",
    ]);
    expect((await port({ environment, argv: ["--listen_port", "7"] }))[0]).toBe("7");
  });

  test("control-plane 11.7: a directory's *.conf in the order of names; what is missing ends with 1", async () => {
    await file("d/20.conf", "[DEFAULT]\nlisten_port = 20\n");
    await file("d/10.conf", "[DEFAULT]\nlisten_port = 10\n");
    await file("d/30.cnf", "[DEFAULT]\nlisten_port = 30\n");
    expect((await option("listen_port", { argv: ["--config-dir", `${home}/d`] }))[0]).toBe("20");
    for (const argv of [
      ["--config-file", `${home}/none`],
      ["--config-dir", `${home}/none`],
    ]) {
      const { exitCode, stderr } = await outcome({ argv });
      expect([exitCode, stderr.split("\n").length]).toEqual([1, 2]);
      expect(stderr).toMatch(/no such/);
    }
  });

  test("control-plane 11.9: ipa-debug beats file and command line, both ways", async () => {
    const path = await file("debug.conf", "[DEFAULT]\ndebug = false\n");
    expect((await option("debug", { kernel: "ipa-debug=1", argv: ["--config-file", path] }))[0]).toBe("true");
    expect((await option("debug", { kernel: "ipa-debug=0", argv: ["--debug"] }))[0]).toBe("false");
  });

  test("control-plane 11.10, 11.11: words of the kernel line", async () => {
    expect((await option("standalone", { kernel: "ipa-standalone" }))[0]).toBe("false");
    expect((await option("listen_port", { kernel: "ipa-listen-port=1 ipa-listen-port=2" }))[0]).toBe("2");
    expect((await option("listen_port", { kernel: "IPA-LISTEN-PORT=1" }))[0]).toBe("9999");
    expect(await outcome({ kernel: "ipa-standalone=maybe" })).toEqual({
      exitCode: 1,
      stdout: "",
      stderr:
        'ironic-python-agent: kernel parameter ipa-standalone: bad value "maybe" for standalone: expected true, 1, on, yes or false, 0, off, no\n',
    });
  });

  test("control-plane 11.12: booted from virtual media, but without any", async () => {
    const kernel = "boot_method=vmedia ipa-listen-port=5";
    const { exitCode, stdout, stderr } = await outcome({ kernel, argv: ["config"] });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^listen_port +5 +kernel parameter ipa-listen-port$/m);
    expect(stderr).toContain("ironic-python-agent: no virtual media with parameters is plugged in\n");
  });

  test("files that cannot be read or understood are said in words, secrets not at all", async () => {
    const broken = await file("broken.conf", "[DEFAULT]\nimage_server_password hunter2\n");
    const { exitCode, stderr } = await outcome({ argv: ["--config-file", broken] });
    expect([exitCode, stderr]).toEqual([1, `ironic-python-agent: ${broken} line 2: expected name = value\n`]);
    const log = await outcome({ argv: ["--standalone", "--log-file", `${home}/none/agent.log`] });
    expect([log.exitCode, log.stderr]).toEqual([
      1,
      `ironic-python-agent: cannot write the log file ${home}/none/agent.log: no such file or directory (ENOENT)\n`,
    ]);
    const secret = await option("agent_token", { kernel: `ipa-agent-token=${"t".repeat(40)}` });
    expect(secret).toEqual(["******", "kernel parameter ipa-agent-token"]);
  });

  test("what is set without effect is said", async () => {
    const { exitCode, stderr } = await outcome({ argv: ["config", "--log-config", "/etc/logging.conf"] });
    expect(exitCode).toBe(0);
    expect(stderr).toContain("log_config_append has no effect: ");
  });
});

describe("the executable as an agent", () => {
  async function serving(start: Start) {
    const port = await freePort();
    const child = await spawn({
      ...start,
      argv: ["--standalone", "--listen_port", `${port}`, ...(start.argv ?? [])],
    });
    const answers = (host: string) =>
      new Promise<boolean>((resolve) => {
        const socket = connect(port, host, () => resolve(true));
        socket.on("connect", () => socket.destroy()).on("error", () => resolve(false));
      });
    while (!((await answers("127.0.0.1")) || (await answers("::1")))) {
      if (child.exitCode !== null) throw new Error(await new Response(child.stderr).text());
      await Bun.sleep(10);
    }
    return { child, port, answers };
  }

  test("control-plane 11.14, 11.16: serves IPv6 and IPv4 at once, and ends with 0 when it is told to", async () => {
    const { child, answers } = await serving({});
    expect([await answers("127.0.0.1"), await answers("::1")]).toEqual([true, true]);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    expect(await answers("127.0.0.1")).toBe(false);
  });

  test("control-plane 11.14: with IPv6 turned off it serves IPv4 alone", async () => {
    const instead = { "/proc/sys/net/ipv6/conf/default/disable_ipv6": "1\n" };
    expect((await option("listen_host", { instead }))[0]).toBe("0.0.0.0");
    const { child, answers } = await serving({ instead });
    expect([await answers("127.0.0.1"), await answers("::1")]).toEqual([true, false]);
    child.kill("SIGINT");
    expect(await child.exited).toBe(0);
  });

  test("control-plane 11.15: a port in use ends it with 1", async () => {
    const { child, port } = await serving({});
    const { exitCode, stdout } = await outcome({ argv: ["--standalone", `--listen_port=${port}`] });
    expect(exitCode).toBe(1);
    expect(stdout).toContain(`port ${port}`);
    child.kill("SIGTERM");
    await child.exited;
  });

  test("control-plane 11.19: the form of the log, in a file of the program's name and nowhere else", async () => {
    const { child } = await serving({ argv: ["--log-dir", home] });
    child.kill("SIGTERM");
    await child.exited;
    expect(await new Response(child.stdout).text()).toBe("");
    const log = await readFile(`${home}/ironic-python-agent.log`, "utf8");
    for (const line of log.trimEnd().split("\n"))
      expect(line).toMatch(
        /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \d+ (DEBUG|INFO|WARNING|ERROR) [a-z_.]+ \[-\] ./,
      );
    expect(log).toContain("Serving the API at");
  });

  test("control-plane 2.7: lines of DEBUG name function, file and line of the source", async () => {
    const { child } = await serving({ argv: ["--debug"] });
    child.kill("SIGTERM");
    await child.exited;
    const log = await new Response(child.stdout).text();
    const places = log.matchAll(/ DEBUG [a-z_.]+ (?:\[-\] )?.* (\S+) (src\/[a-z/-]+\.ts):(\d+)$/gm);
    const files = new Set([...places].map(([, , file]) => file));
    expect(files.size).toBeGreaterThan(0);
    for (const file of files) expect(await Bun.file(`${import.meta.dir}/../${file}`).exists()).toBe(true);
  });

  test("control-plane 11.18: without a URL of Ironic it says so and serves", async () => {
    const port = await freePort();
    const child = await spawn({ argv: ["--listen_port", `${port}`, "--disk_wait_attempts", "0"] });
    const log = new Response(child.stdout).text();
    while (!(await fetch(`http://127.0.0.1:${port}/v1/status`).catch(() => null))) {
      if (child.exitCode !== null) throw new Error(await log);
      await Bun.sleep(10);
    }
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    expect(await log).toMatch(/ ERROR \S+ \[-\] No Ironic API URL is configured/);
  });
});
