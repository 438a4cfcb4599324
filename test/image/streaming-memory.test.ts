// What streaming an image costs in memory, in a process of its own: the benchmark's, from a server that is another process. deploy 11.26

import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";

const MEBIBYTE = 1024 ** 2;
const SIZE = 1024 * MEBIBYTE;
const BENCH = `${import.meta.dir}/../bench`;

test("a gibibyte passes through less than 160 MiB, the runtime included", async () => {
  const directory = await mkdtemp(`${tmpdir()}/streaming-`);
  const server = Bun.spawn([process.execPath, "run", `${BENCH}/content-server.ts`], { stdout: "pipe" });
  try {
    const { value } = await server.stdout.getReader().read();
    const url = `http://127.0.0.1:${new TextDecoder().decode(value).trim()}/${SIZE}`;
    // The content is another one in every process of the server, so it is asked for its digest first.
    const hash = createHash("sha256");
    for await (const chunk of (await fetch(url)).body ?? []) hash.update(chunk);
    const argv = ["run", `${BENCH}/stream-child.ts`, url, `${directory}/disk`, "sha256", hash.digest("hex")];
    const child = Bun.spawn([process.execPath, ...argv], { stdout: "pipe", stderr: "inherit" });
    const { peak } = JSON.parse(await new Response(child.stdout).text());
    expect(await child.exited).toBe(0);
    expect(peak).toBeLessThan(160 * MEBIBYTE);
  } finally {
    server.kill();
    await server.exited;
    await rm(directory, { recursive: true });
  }
}, 180_000);
