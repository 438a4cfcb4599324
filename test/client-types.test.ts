// dist/sdk as a user of the client gets it: a strict program with Eden compiles against it, and one with mistakes does not.

import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");

const PROGRAM = `
import { treaty } from "@elysiajs/eden";
import type { AgentApi, CommandResult, StreamedEvent } from "ironic-agent/client";

const agent = treaty<AgentApi>("https://192.0.2.7:9999", { parseDate: false });

export async function run(agent_token: string): Promise<CommandResult> {
  const { data, error } = await agent.v1.commands.post({ name: "standby.sync", params: {} }, { query: { agent_token, wait: true } });
  if (error) throw new Error(typeof error.value === "object" && "faultstring" in error.value ? error.value.faultstring : "");
  const events = await agent.v1.commands({ id: data.id }).events.get({ query: { agent_token } });
  for await (const event of events.data ?? []) show(event);
  return data;
}

function show(event: StreamedEvent): void {
  if (event.event === "log") console.log(event.data.message.toUpperCase());
  if (event.event === "state") console.log(event.data.command_status === "RUNNING");
  // @ts-expect-error there is no such event
  if (event.event === "explosion") console.log(event);
}

// @ts-expect-error a command has a name and parameters
void agent.v1.commands.post({ name: 5 });
// @ts-expect-error there is no such resource
void agent.v2.status.get();
`;

/** The program of docs/api.md, with what it takes as given. */
async function documented(): Promise<string> {
  const page = await readFile(`${ROOT}/docs/api.md`, "utf8");
  const [, program] = /^## Typed client$[\s\S]*?^```ts\n([\s\S]*?)^```$/m.exec(page) ?? [];
  if (program === undefined) throw new Error("docs/api.md shows no client");
  return `declare const agent_token: string;\n${program}`;
}

test("the published types of the client are complete, and strict", async () => {
  if (!existsSync(`${ROOT}/dist/sdk/client.d.ts`))
    throw new Error('dist/sdk is missing: run "bun run build.ts" first, or "npm test"');
  const directory = await mkdtemp(join(tmpdir(), "client-types-"));
  try {
    const modules = join(directory, "node_modules");
    await mkdir(modules);
    // The compiler looks for what a file imports from where the file really is, so elysia and Eden have to be reachable from dist.
    for (const name of ["@elysiajs", "@sinclair", "elysia", "bun-types"])
      await symlink(join(ROOT, "node_modules", name), join(modules, name));
    await symlink(join(ROOT, "dist/sdk"), join(modules, "ironic-agent"));
    await writeFile(join(directory, "program.ts"), PROGRAM);
    await writeFile(join(directory, "documented.ts"), await documented());
    const compilerOptions = {
      strict: true,
      noEmit: true,
      module: "Preserve",
      target: "ESNext",
      lib: ["ESNext", "DOM", "DOM.AsyncIterable"],
      types: [],
      skipLibCheck: true,
    };
    await writeFile(
      join(directory, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: ["program.ts", "documented.ts"] }),
    );
    const compiler = Bun.spawn([join(ROOT, "node_modules/.bin/tsc"), "--project", directory], {
      stdout: "pipe",
      stderr: "pipe",
    });
    expect(await new Response(compiler.stdout).text()).toBe("");
    expect(await compiler.exited).toBe(0);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}, 60_000);
