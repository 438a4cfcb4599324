// The program as a process: exit codes, signals, standard output and standard error. It only looks at the machine it runs on.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { AGENT_VERSION } from "../src/version.ts";
import { freePort } from "./support/test-machine.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/main-`);
});
afterAll(() => rm(directory, { recursive: true }));

const running = new Set<Bun.Subprocess>();
afterEach(async () => {
  for (const child of running) child.kill("SIGKILL");
  await Promise.all([...running].map((child) => child.exited));
  running.clear();
});

function spawn(...argv: string[]) {
  const child = Bun.spawn([process.execPath, "src/main.ts", ...argv], {
    // No configuration of the machine the tests run on.
    env: { PATH: process.env.PATH, HOME: directory },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  running.add(child);
  return child;
}

async function outcome(...argv: string[]) {
  const child = spawn(...argv);
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { exitCode: await child.exited, stdout, stderr };
}

/** A standalone agent whose API answers. */
async function agent(...argv: string[]) {
  const port = await freePort();
  const child = spawn("--standalone", "--listen_host=127.0.0.1", "--listen_port", String(port), ...argv);
  const status = `http://127.0.0.1:${port}/v1/status`;
  const answers = () =>
    fetch(status)
      .then(({ ok }) => ok)
      .catch(() => false); // refused: not yet, or no longer
  while (!(await answers())) {
    if (child.exitCode !== null)
      throw new Error(`ended with ${child.exitCode}: ${await new Response(child.stdout).text()}`);
    await Bun.sleep(5);
  }
  return { child, port, answers };
}

describe("what is printed and how it ends", () => {
  test("all of it reaches a reader that is slow to take it", async () => {
    const url = `http://ironic.example/${"x".repeat(120_000)}`; // more than a pipe holds
    const pipeline = `"$0" src/main.ts config --api_url "$1" | { sleep 1; cat; }`;
    const child = Bun.spawn(["sh", "-c", pipeline, process.execPath, url], {
      env: { PATH: process.env.PATH, HOME: directory },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
    });
    const text = await new Response(child.stdout).text();
    expect(text).toContain(url);
    expect(text).toEndWith("\n");
  });

  test("a format is refused by a helper that has only one", async () => {
    const { exitCode, stderr } = await outcome("config", "--json");
    expect(exitCode).toBe(2);
    expect(stderr).toContain("--json");
  });

  test("--help knows every word", async () => {
    const { stdout } = await outcome("--help");
    for (const word of ["inventory", "steps", "check", "config", "collect-introspection-data"])
      expect(stdout).toMatch(new RegExp(`^  ${word}\\b`, "m"));
  });

  test("--help and --version", async () => {
    const help = await outcome("--help");
    expect([help.exitCode, help.stderr]).toEqual([0, ""]);
    expect(help.stdout).toStartWith("usage: ironic-python-agent");
    expect(help.stdout).toContain("--listen_port PORT");
    expect(await outcome("--version")).toEqual({ exitCode: 0, stdout: `${AGENT_VERSION}\n`, stderr: "" });
  });

  test("wrong use and wrong values: 2, one line about it and one about the usage", async () => {
    for (const [argv, named] of [
      [["--nosuch"], "--nosuch"],
      [["stray"], "stray"],
      [["--standalone=true"], "--standalone"],
      [["--listen", "1"], "--listen_port"],
      [["--listen_port", "70000"], "listen_port"],
    ] as const) {
      const { exitCode, stdout, stderr } = await outcome(...argv);
      expect([exitCode, stdout]).toEqual([2, ""]);
      const lines = stderr.trimEnd().split("\n");
      expect(lines.length).toBe(2);
      expect(lines[0]).toStartWith("ironic-python-agent: ");
      expect(lines[0]).toContain(named);
      expect(lines[1]).toStartWith("usage: ");
    }
  });

  test("files that cannot be used: 1 and one line", async () => {
    for (const argv of [
      ["--config-file", "/missing.conf"],
      ["--config-dir", "/missing"],
      ["--log-file", "/missing/agent.log", "--standalone"],
    ]) {
      const { exitCode, stderr } = await outcome(...argv);
      expect(exitCode).toBe(1);
      expect(stderr.trimEnd().split("\n").length).toBe(1);
      expect(stderr).toContain(argv[1]!);
    }
  });

  test("a port that is taken: 1, said in the log", async () => {
    const { port } = await agent();
    const { exitCode, stdout } = await outcome(
      "--standalone",
      "--listen_host=127.0.0.1",
      `--listen_port=${port}`,
    );
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(new RegExp(`ERROR .*127\\.0\\.0\\.1 port ${port}`));
  });
});

describe("signals", () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGQUIT"] as const)
    test(`${signal} ends the agent with 0 and frees its port`, async () => {
      const { child, answers } = await agent();
      child.kill(signal);
      expect(await child.exited).toBe(0);
      expect(child.signalCode).toBeNull();
      expect(await answers()).toBe(false);
    });

  test("SIGHUP changes nothing", async () => {
    const { child, answers } = await agent();
    child.kill("SIGHUP");
    expect(await answers()).toBe(true);
    expect(child.exitCode).toBeNull();
  });
});

describe("the log", () => {
  test("goes to a file alone when there is one, in the directory of --log-dir by the program's name", async () => {
    const { child } = await agent("--log-dir", directory, "--debug");
    child.kill("SIGTERM");
    await child.exited;
    expect(await new Response(child.stdout).text()).toBe("");
    expect(await readdir(directory)).toContain("ironic-python-agent.log");
    expect(await readFile(`${directory}/ironic-python-agent.log`, "utf8")).toContain("Serving the API at");
  });

  test("goes to standard output as lines, or as JSON", async () => {
    const lines = async (...argv: string[]) => {
      const { child } = await agent(...argv);
      child.kill("SIGTERM");
      return (await new Response(child.stdout).text()).trimEnd().split("\n");
    };
    for (const line of await lines())
      expect(line).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \d+ [A-Z]+ [a-z_.]+ (\[-\] )?/);
    for (const line of await lines("--use-json")) expect(JSON.parse(line)).toHaveProperty("levelname");
  });
});

describe("the helpers", () => {
  test("config tells values and their sources", async () => {
    const file = `${directory}/agent.conf`;
    await writeFile(file, "[DEFAULT]\nlookup_timeout = 5\nagent_token = secret-token-of-32-characters-xx\n");
    const { exitCode, stdout } = await outcome("config", "--config-file", file, "--listen-port=7");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^listen_port +7 +command line --listen-port$/m);
    expect(stdout).toMatch(new RegExp(`^lookup_timeout +5 +${file} line 2$`, "m"));
    expect(stdout).not.toContain("secret-token");
  });

  test("inventory and steps print JSON and nothing else on standard output", async () => {
    const inventory = await outcome("inventory");
    expect(inventory.exitCode).toBe(0);
    const { cpu, interfaces, disks, hostname } = JSON.parse(inventory.stdout);
    expect(cpu.count).toBeGreaterThan(0);
    expect([Array.isArray(interfaces), Array.isArray(disks), typeof hostname]).toEqual([
      true,
      true,
      "string",
    ]);
    const steps = JSON.parse((await outcome("steps")).stdout);
    expect(steps.hardware_manager_version).toHaveProperty("generic_hardware_manager");
    expect(steps.deploy_steps.GenericHardwareManager).toContainEqual(
      expect.objectContaining({ step: "write_image", interface: "deploy" }),
    );
  });
});

test("an agent whose log nobody reads any more serves on, and says nothing about it", async () => {
  const port = await freePort();
  const child = spawn("--standalone", "--listen_host=127.0.0.1", "--listen_port", String(port));
  await child.stdout.cancel();
  const served = () =>
    fetch(`http://127.0.0.1:${port}/v1/status`).then(
      ({ status }) => status === 200,
      () => false, // refused: not yet
    );
  while (!(await served())) {
    expect(child.exitCode).toBeNull();
    await Bun.sleep(10);
  }
  expect(await served()).toBe(true);
  child.kill("SIGTERM");
  expect(await new Response(child.stderr).text()).toBe("");
  expect(await child.exited).toBe(0);
}, 30_000);
