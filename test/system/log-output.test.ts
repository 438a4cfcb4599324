// Where the log goes. The console's streams belong to a process, so those cases run in one of their own.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { type LogSettings, openLog } from "../../src/system/log-output.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/log-output-`);
});
afterAll(() => rm(directory, { recursive: true }));

const BASE = { name: "agent", debug: false, json: false, stream: "stdout" } as const;

/** What a process that logs one line with these settings writes. */
async function streams(settings: Partial<LogSettings>) {
  const module = `${import.meta.dir}/../../src/system/log-output.ts`;
  const code = `import { openLog } from ${JSON.stringify(module)}; openLog(JSON.parse(process.argv[1])).log.info("line");`;
  const child = Bun.spawn(
    [process.execPath, "-e", code, JSON.stringify({ ...BASE, file: null, ...settings })],
    {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    },
  );
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect(await child.exited).toBe(0);
  const written = (text: string) => (text === "" ? "nothing" : text.includes("\x1b") ? "colours" : "line");
  return { stdout: written(stdout), stderr: written(stderr), text: stdout + stderr };
}

describe("the streams", () => {
  test("standard output, or standard error for programs whose output is data", async () => {
    expect(await streams({})).toMatchObject({ stdout: "line", stderr: "nothing" });
    expect(await streams({ stream: "stderr" })).toMatchObject({ stdout: "nothing", stderr: "line" });
  });

  test("a file is instead of them, use_stderr instead of standard output and beside a file", async () => {
    const file = `${directory}/streams`;
    expect(await streams({ file })).toMatchObject({ stdout: "nothing", stderr: "nothing" });
    expect(await streams({ useStderr: true })).toMatchObject({ stdout: "nothing", stderr: "line" });
    expect(await streams({ file, useStderr: true })).toMatchObject({ stdout: "nothing", stderr: "line" });
    expect((await readFile(file, "utf8")).trimEnd().split("\n").length).toBe(2);
  });

  test("a line as text and as JSON", async () => {
    expect((await streams({})).text).toMatch(
      /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \d+ INFO agent \[-\] line\n$/,
    );
    expect((await streams({ dateFormat: "%H" })).text).toMatch(/^\d\d\.\d{3} \d+ INFO agent \[-\] line\n$/);
    expect(JSON.parse((await streams({ json: true })).text)).toMatchObject({
      message: "line",
      levelname: "INFO",
    });
  });

  test("colours only for a terminal", async () => {
    const module = `${import.meta.dir}/../../src/system/log-output.ts`;
    const code = `import { openLog } from ${JSON.stringify(module)}; openLog(${JSON.stringify({ ...BASE, file: null })}).log.error("x");`;
    const onTerminal = async (environment: Record<string, string>) => {
      const chunks: Uint8Array[] = [];
      const child = Bun.spawn([process.execPath, "-e", code], {
        env: { PATH: process.env.PATH, ...environment },
        terminal: { data: (_, data) => void chunks.push(data) },
      });
      await child.exited;
      return Buffer.concat(chunks).toString();
    };
    expect(await onTerminal({ TERM: "xterm" })).toContain("\x1b[31m");
    expect(await onTerminal({ TERM: "xterm", NO_COLOR: "1" })).not.toContain("\x1b");
  });
});

describe("levels", () => {
  test("of single loggers, the most exact name first; the general one may change", async () => {
    const file = `${directory}/levels`;
    const levels = new Map([
      ["agent.loud", "WARNING"],
      ["agent.loud.but", "DEBUG"],
    ] as const);
    const { log, setDebug } = openLog({ ...BASE, file, levels });
    const all = (text: string) => {
      for (const name of ["agent", "agent.loud", "agent.loud.at-all", "agent.loud.but", "agent.louder"])
        log.named(name).debug(text);
    };
    all("first");
    setDebug(true);
    all("second");
    setDebug(false);
    all("third");
    const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
    expect(lines.map((line) => line.split(" ").slice(4, 7).join(" "))).toEqual([
      "agent.loud.but [-] first",
      "agent [-] second",
      "agent.loud.but [-] second",
      "agent.louder [-] second",
      "agent.loud.but [-] third",
    ]);
  });
});

test("what stands in front of the sinks sees every record that passes", () => {
  const seen: string[] = [];
  const { log } = openLog({ ...BASE, file: "/dev/null" }, (sink) => (record) => {
    seen.push(record.message);
    sink(record);
  });
  log.debug("no");
  log.info("yes");
  expect(seen).toEqual(["yes"]);
});
