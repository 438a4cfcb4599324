// The program ironic-collect-introspection-data as a process, against a service on loopback.

import { describe, expect, test } from "bun:test";
import { join } from "node:path";

const MAIN = join(import.meta.dir, "../../src/main.ts");

/** Exit code, log and what was posted. */
async function run(words: readonly string[], options: { argv0?: string; answer: () => Response }) {
  const posted: { path: string; body: unknown }[] = [];
  await using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      posted.push({ path: new URL(request.url).pathname, body: await request.json() });
      return options.answer();
    },
  });
  const url = `http://127.0.0.1:${server.port}/v1/continue`;
  const settings = ["--inspection_callback_url", url, "--inspection_collectors", "pci-devices,numa-topology"];
  const child = Bun.spawn([process.execPath, MAIN, ...words, ...settings], {
    ...(options.argv0 === undefined ? {} : { argv0: options.argv0 }),
    // No configuration of the machine the tests run on.
    env: { PATH: process.env.PATH, HOME: "/nonexistent" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [log, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { exitCode: await child.exited, log, errors, posted };
}

// control-plane 11.89
describe("ironic-collect-introspection-data", () => {
  test("is what the executable is when it is called by that name", async () => {
    const { exitCode, posted, errors } = await run([], {
      argv0: "/usr/local/bin/ironic-collect-introspection-data",
      answer: () => Response.json({ uuid: "node-1" }),
    });
    expect([exitCode, errors]).toEqual([0, ""]);
    expect(posted.map(({ path }) => path)).toEqual(["/v1/continue"]);
    expect(Object.keys(posted[0]!.body as object).at(-1)).toBe("error");
  });

  test("is a word of the agent's program, too, and fails when the data are refused", async () => {
    const { exitCode, log, posted } = await run(["collect-introspection-data"], {
      answer: () => Response.json({ error: { message: "no such node" } }, { status: 404 }),
    });
    expect(exitCode).toBe(1);
    expect(posted).toHaveLength(1);
    expect(log).toContain(
      "Inspection failed: stopping inspection, as inspector returned an error: Error 404: no such node",
    );
  });
});
