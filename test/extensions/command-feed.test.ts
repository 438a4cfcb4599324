// Watching one command: what `CommandRegistry.follow` hands out (issue 4, Deliver 2: live events).

import { describe, expect, test } from "bun:test";
import { RequestedObjectNotFoundError } from "../../src/errors.ts";
import { type CommandEvent, CommandFeed } from "../../src/extensions/command-feed.ts";
import type { CommandResult } from "../../src/extensions/command-result.ts";
import type { Progress } from "../../src/progress.ts";
import type { LogRecord } from "../../src/system/log.ts";
import { fixture, step } from "./fixture.ts";

const RUNNING: CommandResult = {
  id: "1",
  command_name: "x",
  command_status: "RUNNING",
  command_error: null,
  command_result: null,
};
const ENDED: CommandResult = { ...RUNNING, command_status: "SUCCEEDED" };
const line = (message: string): LogRecord => ({ time: 1, level: "INFO", logger: "agent", message });
const progress = (done: number): Progress => ({ phase: "p", done, total: 9, unit: "byte", rate: null });

async function collect(events: AsyncIterable<CommandEvent>): Promise<CommandEvent[]> {
  const all: CommandEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

const never = () => new AbortController().signal;

describe("following a command of the registry", () => {
  test("state, its own log lines, progress, and the final state; then it ends", async () => {
    const go = Promise.withResolvers<void>();
    const talks = step("talks", async ({ system, report }) => {
      system.log.info("one");
      await go.promise;
      await system.run(["true"]);
      system.log.named("deep").warning("two, agent_token=S3CRET");
      report(progress(5));
      return "done";
    });
    const { registry, system } = await fixture({ steps: [talks], recording: { programs: { true: {} } } });
    const { id } = await registry.execute("clean.execute_clean_step", {
      step: { step: "talks" },
      node: {},
      ports: [],
    });
    const events = collect(registry.follow(id, never()));
    system.log.info("something else in the agent");
    go.resolve();
    const seen = await events;
    expect(seen[0]).toMatchObject({ type: "state", result: { id, command_status: "RUNNING" } });
    expect(seen.at(-1)).toEqual({ type: "state", result: registry.get(id) });
    expect(registry.get(id).command_status).toBe("SUCCEEDED");
    const lines = seen.flatMap((event) => (event.type === "log" ? [event.record.message] : []));
    expect(lines.slice(0, 2)).toEqual(["one", "two, agent_token=******"]);
    expect(lines[2]).toStartWith("Command clean.execute_clean_step succeeded");
    expect(lines).not.toContain("something else in the agent");
    expect(seen).toContainEqual({ type: "progress", progress: progress(5) });
  });

  test("one who comes after the end gets the lines and the final state, until the next command begins", async () => {
    const { registry } = await fixture();
    const { id } = await registry.execute("test.broken", {});
    await registry.wait(id);
    const late = await collect(registry.follow(id, never()));
    expect(late.map(({ type }) => type)).toEqual(["log", "log", "state"]);
    await registry.execute("test.echo_sync", { value: 1 });
    expect(await collect(registry.follow(id, never()))).toEqual([
      { type: "state", result: registry.get(id) },
    ]);
  });

  test("the commands of a flow are watched with it", async () => {
    const { registry } = await fixture();
    const { id } = await registry.execute("flow.start_flow", { flow: [{ "test.echo_sync": { value: 7 } }] });
    const events = await collect(registry.follow(id, never()));
    expect(JSON.stringify(events)).toContain("Command test.echo_sync succeeded with result: 7");
  });

  test("one who leaves holds nothing up; an unknown command is refused at once", async () => {
    const { registry, gate } = await fixture();
    const { id } = await registry.execute("test.hold", {});
    const left = new AbortController();
    const events = collect(registry.follow(id, left.signal));
    await gate.begun;
    left.abort();
    expect((await events).at(-1)).toMatchObject({ type: "state", result: { command_status: "RUNNING" } });
    gate.open();
    await registry.wait(id);
    expect(() => registry.follow("nosuch", never())).toThrow(RequestedObjectNotFoundError);
  });
});

describe("a feed is bounded", () => {
  test("a slow follower loses lines, is told how many, and sees only the latest progress and the end", async () => {
    const feed = new CommandFeed(RUNNING);
    const follower = feed.follow(never())[Symbol.asyncIterator]();
    expect((await follower.next()).value).toEqual({ type: "state", result: RUNNING });
    for (let n = 0; n < 5000; n++) {
      feed.log(line(`line ${n}`));
      feed.progress({ ...RUNNING, command_progress: progress(n) });
    }
    feed.end(ENDED);
    const rest: CommandEvent[] = [];
    for (let next = await follower.next(); !next.done; next = await follower.next()) rest.push(next.value);
    expect(rest.filter(({ type }) => type === "log")).toHaveLength(1000);
    expect(rest.filter(({ type }) => type === "progress")).toEqual([
      { type: "progress", progress: progress(4999) },
    ]);
    expect(rest.slice(-2)).toEqual([
      { type: "skipped", lines: 4000 },
      { type: "state", result: ENDED },
    ]);
  });

  test("only the latest lines are kept, and long ones are cut", async () => {
    const feed = new CommandFeed(RUNNING);
    for (let n = 0; n < 1000; n++) feed.log(line(`${n} ${"x".repeat(10_000)}`));
    feed.end(ENDED);
    feed.log(line("after the end"));
    const events = await collect(feed.follow(never()));
    const lines = events.flatMap((event) => (event.type === "log" ? [event.record.message] : []));
    expect(lines).toHaveLength(200);
    expect(lines[0]).toStartWith("800 x");
    expect(Math.max(...lines.map(({ length }) => length))).toBe(4097);
    expect(events.at(-1)).toEqual({ type: "state", result: ENDED });
  });
});
