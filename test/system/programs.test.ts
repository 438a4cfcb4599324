import { describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { realClock } from "../../src/system/clock.ts";
import { createLogger } from "../../src/system/log.ts";
import { createRun, ProgramFailedError, ProgramMissingError } from "../../src/system/programs.ts";
import { rejection, thrower } from "../support/rejection.ts";

const run = createRun(
  realClock,
  createLogger("test", "ERROR", () => {}),
);

/** Waits until the process is gone or dead and unreaped (init may be slow); the test's own time limit bounds it. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    const stat = await Bun.file(`/proc/${pid}/stat`)
      .text()
      .catch(() => ""); // no such process: gone
    const state = stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3);
    if (state === "" || state === "Z" || state === "X") return;
    await Bun.sleep(10);
  }
}

async function failure(work: Promise<unknown>): Promise<ProgramFailedError> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ProgramFailedError);
  return error as ProgramFailedError;
}

describe("run", () => {
  test("returns status and both outputs, and hands over input", async () => {
    const result = await run(["sh", "-c", "cat; echo oops >&2; exit 3"], {
      input: "héllo",
      allowedExitCodes: [3],
    });
    expect(result).toEqual({ exitCode: 3, stdout: "héllo", stderr: "oops\n" });
  });

  test("hands over input that can be opened by name, as ipmitool wants it", async () => {
    expect((await run(["cat", "/proc/self/fd/0"], { input: "channel info 1\n" })).stdout).toBe(
      "channel info 1\n",
    );
  });

  test("a bad status is an error with the command line and the last lines", async () => {
    const error = await failure(run(["sh", "-c", "seq 9 >&2; exit 4"]));
    expect(error.exitCode).toBe(4);
    expect(error.message).toBe("sh -c seq 9 >&2; exit 4: exit code 4: 5 | 6 | 7 | 8 | 9");
  });

  // hardware 13.97
  test("a program that reads its standard input finds it empty, and does not wait for anybody", async () => {
    expect(await run(["cat"])).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect((await run(["readlink", "/proc/self/fd/0"])).stdout).toBe("/dev/null\n");
  });

  // hardware 13.97
  test("a missing program is an error of its own", async () => {
    expect(await rejection(run(["no-such-program"]))).toBeInstanceOf(ProgramMissingError);
  });

  test("a script whose interpreter is missing says which", async () => {
    const directory = await mkdtemp(`${tmpdir()}/programs-`);
    const script = `${directory}/tool`;
    await writeFile(script, "#! /no/such/interpreter -e\nexit 0\n", { mode: 0o755 });
    const text = `cannot run ${script}: its interpreter /no/such/interpreter is not there or may not be executed (`;
    expect(String(await rejection(run([script])))).toContain(text);
    await rm(directory, { recursive: true });
  });

  test("what a broken program prints is quoted so that a console does not obey it", async () => {
    const error = await failure(
      run(["sh", "-c", String.raw`printf 'a\033[2J\001\n50 %%\r60 %%' >&2; exit 1`]),
    );
    expect(error.message).toEndWith(String.raw`exit code 1: a\x1b[2J\x01 | 50 % | 60 %`);
    // What is parsed is what was printed.
    expect(error.stderr).toContain("\x1b[2J");
  });

  test("the child's environment does not depend on the agent's", async () => {
    process.env.LEAKED_TOKEN = "secret";
    const { stdout } = await run(["env"], { environment: { EXTRA: "1" } });
    delete process.env.LEAKED_TOKEN;
    const names = stdout
      .trim()
      .split("\n")
      .map((line) => line.split("=")[0]);
    expect(names.sort()).toEqual(["EXTRA", "HOME", "LANG", "LC_ALL", "PATH"]);
  });

  test("keeps only the tail of a chatty program's output", async () => {
    const { stdout } = await run(["sh", "-c", "yes | head -c 50000000; echo END"], { maxOutput: 1000 });
    expect(stdout.length).toBe(1000);
    expect(stdout.endsWith("END\n")).toBe(true);
  });

  test("the time limit ends the child together with its own children", async () => {
    const error = await failure(run(["sh", "-c", "sleep 300 & echo $!; wait"], { timeout: 0.3 }));
    expect(error.message).toContain("gave up after 0.3 s");
    await gone(Number(error.stdout.trim()));
  });

  test("a child that ignores SIGTERM and leaves its pipe to a grandchild is killed all the same", async () => {
    const error = await failure(
      run(["sh", "-c", "trap '' TERM; (trap '' TERM; sleep 300) & echo $!; while :; do sleep 1; done"], {
        timeout: 0.3,
      }),
    );
    expect(error.exitCode).toBeNull();
    await gone(Number(error.stdout.trim()));
  }, 15_000);

  test("an aborted signal ends the child and is the reason of the failure", async () => {
    const abort = new AbortController();
    const pids: number[] = [];
    const work = run(["sh", "-c", "echo $$; sleep 300"], {
      signal: abort.signal,
      onOutput: (text) => {
        pids.push(Number(text.trim()));
        abort.abort(new Error("stop it"));
      },
    });
    expect(await thrower(work)).toThrow("stop it");
    await work.catch(() => {}); // the rejection is asserted above
    expect(pids.length).toBe(1);
    await Promise.all(pids.map(gone));
  });

  test("tells what comes on either stream while the program runs", async () => {
    const heard: string[] = [];
    const { stdout, stderr } = await run(["sh", "-c", "echo out; echo err >&2; sleep 0.1; echo more >&2"], {
      onOutput: (text) =>
        void heard.push(
          ...text
            .trim()
            .split("\n")
            .map((line) => `1 ${line}`),
        ),
      onErrorOutput: (text) =>
        void heard.push(
          ...text
            .trim()
            .split("\n")
            .map((line) => `2 ${line}`),
        ),
    });
    expect([stdout, stderr]).toEqual(["out\n", "err\nmore\n"]);
    expect(heard.sort()).toEqual(["1 out", "2 err", "2 more"]);
  });

  test("an aborted child leaves nobody behind, not even one that ignores SIGTERM and has let go of the pipes", async () => {
    const abort = new AbortController();
    const pids: number[] = [];
    const script = "(trap '' TERM; exec >/dev/null 2>&1; while :; do sleep 1; done) & echo $!; wait";
    const work = run(["sh", "-c", script], {
      signal: abort.signal,
      onOutput: (text) => {
        pids.push(Number(text.trim()));
        // Once it has let go of the pipe; before, it is the pipe that would be waited for.
        setTimeout(() => abort.abort(new Error("stop it")), 100);
      },
    });
    expect(await thrower(work)).toThrow("stop it");
    expect(pids.length).toBe(1);
    await Promise.all(pids.map(gone));
  });

  test("what still runs when the process ends, ends with it", async () => {
    const script = `
      import { createRun } from "./src/system/programs.ts";
      import { realClock } from "./src/system/clock.ts";
      import { createLogger } from "./src/system/log.ts";
      const run = createRun(realClock, createLogger("test", "ERROR", () => {}));
      void run(["sh", "-c", "trap '' TERM; (while :; do sleep 1; done) & echo $$ $!; wait"], {
        onOutput: (text) => { process.stdout.write(text); process.exit(0); },
      });`;
    const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stdin: "ignore" });
    const pids = (await new Response(child.stdout).text()).trim().split(" ").map(Number);
    expect(await child.exited).toBe(0);
    expect(pids).toHaveLength(2);
    await Promise.all(pids.map(gone));
  });

  test("attempts repeat a failing program", async () => {
    const counter = `${process.env.TMPDIR ?? "/tmp"}/attempts-${process.pid}`;
    const script = `echo x >> ${counter}; [ $(wc -l < ${counter}) -ge 3 ]`;
    await run(["sh", "-c", script], { attempts: 3 });
    const { stdout } = await run(["wc", "-l", counter]);
    await run(["rm", counter]);
    expect(stdout.split(" ")[0]).toBe("3");
  });
});
