import { expect, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isAlive, lastLines, ProgramError, run, start } from "../rig/programs.ts";

async function failure(promise: Promise<unknown>): Promise<ProgramError> {
  try {
    await promise;
  } catch (error) {
    expect(error).toBeInstanceOf(ProgramError);
    return error as ProgramError;
  }
  throw new Error("it did not fail");
}

async function inDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "programs-test-"));
  try {
    await body(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

test("both outputs come back apart, and input goes in", async () => {
  const result = await run(["sh", "-c", "cat; echo to stderr >&2"], { input: "hello" });
  expect(result).toEqual({ stdout: "hello", stderr: "to stderr\n" });
});

test("a failure says the command, the exit code and the last lines", async () => {
  const error = await failure(run(["sh", "-c", "seq 100; echo no space left >&2; exit 7"]));
  expect(error.message).toContain("sh failed with exit code 7");
  expect(error.message).toContain("seq 100; echo no space left");
  expect(error.message).toContain("| no space left");
  expect(error.tail.split("\n").length).toBe(15);
});

test("a program that is not there is an error of the same kind", async () => {
  expect((await failure(run(["/no/such/program"]))).message).toContain("could not be started");
});

test("a time limit ends a program, and says so", async () => {
  const error = await failure(run(["sleep", "60"], { timeoutMs: 50 }));
  expect(error.reason).toBe("did not end within 0.05 s");
});

test("a signal cancels a program", async () => {
  const controller = new AbortController();
  const running = run(["sleep", "60"], { signal: controller.signal });
  controller.abort();
  expect((await failure(running)).reason).toBe("was cancelled");
});

test("with a log file the output goes there and the error quotes it", () =>
  inDirectory(async (directory) => {
    const logFile = join(directory, "deep/down.log");
    const error = await failure(run(["sh", "-c", "echo from the log; exit 1"], { logFile }));
    expect(await readFile(logFile, "utf8")).toBe("from the log\n");
    expect(error.message).toContain("| from the log");
    expect(error.message).toContain(`full log: ${logFile}`);
  }));

test("a started program is stopped by its pid, even one that ignores SIGTERM", () =>
  inDirectory(async (directory) => {
    const logFile = join(directory, "log");
    const stubborn = start(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"], {
      logFile,
    });
    while (!(await readFile(logFile, "utf8")).includes("ready")) await Bun.sleep(10);
    expect(stubborn.running).toBe(true);
    await stubborn.stop(50);
    expect(stubborn.running).toBe(false);
    expect(isAlive(stubborn.pid)).toBe(false);
    await stubborn.stop();
  }));

test("a started program does not outlive a parent that is killed", () =>
  inDirectory(async (directory) => {
    const script = join(directory, "parent.ts");
    const programs = join(import.meta.dir, "../rig/programs.ts");
    const code = `import { start } from ${JSON.stringify(programs)};
      console.log(start(["sleep", "600"], { logFile: "${directory}/log" }).pid);
      await Bun.sleep(600_000);`;
    await Bun.write(script, code);
    const parent = Bun.spawn([process.execPath, script], { stdout: "pipe" });
    const { value } = await parent.stdout.getReader().read();
    const pid = Number(new TextDecoder().decode(value));
    // From then on setpriv has asked the kernel for the signal; a parent that dies before leaves the program alone.
    while ((await readFile(`/proc/${pid}/comm`, "utf8")).trim() !== "sleep") await Bun.sleep(1);
    parent.kill("SIGKILL");
    await parent.exited;
    while (isAlive(pid)) await Bun.sleep(10);
  }));

test("the last lines leave out empty ones", () => {
  expect(lastLines("a\n\nb\r\n  \nc\n", 2)).toBe("b\nc");
  expect(lastLines("", 3)).toBe("");
});
