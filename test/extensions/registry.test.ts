import { describe, expect, test } from "bun:test";
import {
  AgentIsBusy,
  InvalidCommandError,
  InvalidCommandParamsError,
  RequestedObjectNotFoundError,
} from "../../src/errors.ts";
import type { AsyncCommandEnded } from "../../src/extensions/registry.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { rejection, thrower } from "../support/rejection.ts";
import { fixture } from "./fixture.ts";

// control-plane 11.27, contract 10.23
describe("which commands there are", () => {
  test.each([
    ["nodot", InvalidCommandError, "Command name must be of the form <extension>.<name>"],
    ["", InvalidCommandError, "Command name must be of the form <extension>.<name>"],
    ["x.y", RequestedObjectNotFoundError, "Extension with id x not found."],
    [".cmd", RequestedObjectNotFoundError, "Extension with id  not found."],
    ["constructor.name", RequestedObjectNotFoundError, "Extension with id constructor not found."],
    ["standby.nope", InvalidCommandError, "Unknown command: nope"],
    ["standby.", InvalidCommandError, "Unknown command: "],
    ["standby.a.b", InvalidCommandError, "Unknown command: a.b"],
    ["standby.toString", InvalidCommandError, "Unknown command: toString"],
  ] as const)("%p is refused and not recorded", async (name, type, details) => {
    const { registry } = await fixture();
    const refusal = await registry.execute(name, {}).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(type);
    expect(refusal).toHaveProperty("details", details);
    expect(registry.results()).toEqual([]);
  });

  // control-plane 11.38, contract 10.31
  test("a missing parameter is refused before anything starts, an unknown one ignored with a warning", async () => {
    const { registry, system } = await fixture();
    expect(await rejection(registry.execute("test.echo", {}))).toBeInstanceOf(InvalidCommandParamsError);
    expect(registry.results()).toEqual([]);
    const result = await registry.execute("test.echo_sync", { value: 1, self: 1, command_name: "x" });
    expect(result.command_result).toBe(1);
    expect(system.records.find(({ level }) => level === "WARNING")?.message).toBe(
      "Ignoring unknown parameters of test.echo_sync: self, command_name",
    );
  });
});

describe("the life of a command", () => {
  // control-plane 11.29 and 11.34, contract 10.28
  test("a synchronous one ends before it is answered", async () => {
    const { registry } = await fixture();
    const result = await registry.execute("test.echo_sync", { value: { a: [1] } });
    expect(result).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      command_name: "echo_sync",
      command_status: "SUCCEEDED",
      command_error: null,
      command_result: { a: [1] },
    });
    expect(registry.results()).toEqual([result]);
    expect(registry.get(result.id)).toEqual(result);
  });

  // control-plane 11.29, contract 10.30: who lost the answer finds the command in the list
  test("an asynchronous one is listed as RUNNING at once, and ends in the background", async () => {
    const { registry, gate } = await fixture();
    const started = await registry.execute("test.hold", {});
    expect(started.command_status).toBe("RUNNING");
    expect(registry.results()).toEqual([started]);
    gate.open("done");
    expect(await registry.wait(started.id)).toEqual({
      ...started,
      command_status: "SUCCEEDED",
      command_result: { result: "hold: done" },
    });
  });

  test("the answer is out before the work of an asynchronous one begins", async () => {
    const clock = new ManualClock();
    const { registry, gate } = await fixture({ clock });
    const started = await registry.execute("test.hold", {});
    expect(started.command_status).toBe("RUNNING");
    expect(gate.signal).toBeNull();
    await clock.advance(0);
    expect(gate.signal).not.toBeNull();
    gate.open();
    await registry.wait(started.id);
  });

  // control-plane 11.39
  test("text is wrapped, with the command's name if it is asynchronous; nothing is null", async () => {
    const { registry } = await fixture();
    expect((await registry.execute("test.echo_sync", { value: "text" })).command_result).toEqual({
      result: "text",
    });
    const { id } = await registry.execute("test.echo", { value: "text" });
    expect((await registry.wait(id)).command_result).toEqual({ result: "echo: text" });
    expect((await registry.execute("standby.get_partition_uuids", {})).command_result).toEqual({});
    expect((await registry.execute("test.echo_sync", { value: null })).command_result).toBeNull();
  });

  // control-plane 11.35 and 11.36, contract 10.27
  test.each(["test.broken", "test.broken_sync"])("%s: an error nobody foresaw", async (name) => {
    const { registry } = await fixture();
    const { id } = await registry.execute(name, {});
    expect(await registry.wait(id)).toEqual({
      id,
      command_name: name.slice("test.".length),
      command_status: "FAILED",
      command_error: {
        type: "CommandExecutionError",
        code: 500,
        message: "Command execution failed",
        details: "not a disk",
      },
      command_result: null,
    });
  });

  test.each([
    ["test.unserialisable", "the result.size is a bigint, which JSON cannot hold"],
    ["test.unserialisable_sync", "the result is a Map, which JSON cannot hold"],
  ])("%s: a result that JSON cannot hold fails the command alone", async (name, details) => {
    const { registry } = await fixture();
    const { id } = await registry.execute(name, {});
    const result = await registry.wait(id);
    expect(result.command_status).toBe("FAILED");
    expect(result.command_error).toMatchObject({ type: "CommandExecutionError", details });
    await registry.execute("test.echo_sync", { value: 1 });
    expect(JSON.parse(JSON.stringify(registry.results()))).toHaveLength(2);
  });

  // control-plane 11.34, contract 10.21
  test("results are listed in the order of acceptance", async () => {
    const { registry } = await fixture();
    for (const value of [1, 2, 3]) await registry.execute("test.echo_sync", { value });
    expect(registry.results().map((result) => result.command_result)).toEqual([1, 2, 3]);
  });

  // control-plane 11.28
  test("an unknown id", async () => {
    const { registry } = await fixture();
    expect(() => registry.get("x")).toThrow("Command Result with id x not found.");
    expect(await rejection(registry.wait("x"))).toBeInstanceOf(RequestedObjectNotFoundError);
  });
});

describe("one command at a time", () => {
  // control-plane 11.32, contract 10.24 and 10.30: a repeated POST is refused, the first goes on, and the list has one entry
  test("while one runs in the background every other is refused, even one that does not exist", async () => {
    const { registry, gate } = await fixture();
    const first = await registry.execute("test.hold", {});
    for (const name of ["test.hold", "standby.sync", "nowhere.at_all", "standby.nope"]) {
      const refusal = await registry.execute(name, {}).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(AgentIsBusy);
      expect(String(refusal)).toBe("Agent is busy: executing command hold");
    }
    expect(await rejection(registry.execute("nodot", {}))).toBeInstanceOf(InvalidCommandError);
    expect(registry.results()).toEqual([first]);
    gate.open();
    await registry.wait(first.id);
    expect((await registry.execute("test.echo_sync", { value: 1 })).command_status).toBe("SUCCEEDED");
  });

  // control-plane 11.33
  test("what comes during a synchronous command is executed after it, in the order it came", async () => {
    const { registry, gate } = await fixture();
    const first = registry.execute("test.hold_sync", {});
    const second = registry.execute("test.echo_sync", { value: 2 });
    const refused = registry.execute("test.echo_sync", {}).catch((error: unknown) => error);
    const third = registry.execute("test.echo_sync", { value: 3 });
    await gate.begun;
    // Not listed before its end: to whoever reads the list there is nothing to wait for.
    expect(registry.results()).toEqual([]);
    gate.open(1);
    const results = await Promise.all([first, second, third]);
    expect(await refused).toBeInstanceOf(InvalidCommandParamsError);
    expect(results.map((result) => result.command_result)).toEqual([1, 2, 3]);
    expect(registry.results()).toEqual(results);
  });

  test("a command that ended badly makes room", async () => {
    const { registry, gate } = await fixture();
    const { id } = await registry.execute("test.hold", {});
    gate.fail(new Error("no"));
    await registry.wait(id);
    expect((await registry.execute("test.echo_sync", { value: 1 })).command_result).toBe(1);
  });
});

describe("progress", () => {
  const progress = { phase: "writing", done: 1, total: 2, unit: "byte", rate: null };

  test("is shown while the command runs and gone afterwards", async () => {
    const { registry, gate } = await fixture();
    const { id } = await registry.execute("test.hold", {});
    await gate.begun;
    gate.report?.(progress);
    expect(registry.get(id)).toMatchObject({ command_status: "RUNNING", command_progress: progress });
    gate.open();
    expect(await registry.wait(id)).not.toHaveProperty("command_progress");
  });

  test("a report that comes late changes nothing", async () => {
    const { registry, gate } = await fixture();
    const { id } = await registry.execute("test.hold", {});
    gate.open();
    const ended = await registry.wait(id);
    gate.report?.(progress);
    expect(registry.get(id)).toEqual(ended);
  });
});

describe("the end of asynchronous commands", () => {
  test("is told with the time of acceptance, when the result can be read, for good and bad ends", async () => {
    const { registry, system } = await fixture();
    const ends: AsyncCommandEnded[] = [];
    const seen: string[] = [];
    registry.onAsyncCommandEnded((ended) => {
      ends.push(ended);
      seen.push(registry.get(ended.result.id).command_status);
    });
    await system.clock.sleep(100);
    await registry.wait((await registry.execute("test.echo", { value: 1 })).id);
    await system.clock.sleep(100);
    await registry.wait((await registry.execute("test.broken", {})).id);
    await registry.execute("test.echo_sync", { value: 1 });
    expect(ends.map(({ acceptedAt }) => acceptedAt)).toEqual([100, 200]);
    expect(seen).toEqual(["SUCCEEDED", "FAILED"]);
  });

  test("a listener that fails does no harm to the next", async () => {
    const { registry, system } = await fixture();
    const told: string[] = [];
    registry.onAsyncCommandEnded(() => {
      throw new Error("no API");
    });
    registry.onAsyncCommandEnded(({ result }) => told.push(result.command_name));
    await registry.wait((await registry.execute("test.echo", { value: 1 })).id);
    expect(told).toEqual(["echo"]);
    expect(system.records.some(({ level, message }) => level === "ERROR" && message.includes("no API"))).toBe(
      true,
    );
  });
});

describe("stopping", () => {
  test("aborts the command under way, waits for it, and takes no other", async () => {
    const { registry, gate } = await fixture();
    const { id } = await registry.execute("test.hold", {});
    await gate.begun;
    await registry.stop();
    expect(gate.signal?.aborted).toBe(true);
    expect(registry.get(id)).toMatchObject({
      command_status: "FAILED",
      command_error: { details: "aborted because the agent is shutting down" },
    });
    expect(await thrower(registry.execute("test.echo_sync", { value: 1 }))).toThrow(
      "the agent is shutting down",
    );
  });

  test("with nothing under way returns at once", async () => {
    const { registry } = await fixture();
    await registry.stop();
    expect(registry.results()).toEqual([]);
  });
});

describe("the log", () => {
  const secrets = ["TOP-SECRET-1", "TOP-SECRET-2", "TOP-SECRET-3"] as const;

  // control-plane 11.20 and 11.48
  test("tells start, end and failure, and no secret at any depth", async () => {
    const { registry, system } = await fixture();
    const value = {
      configdrive: secrets[0],
      node: [{ instance_info: { configdrive: { user_data: secrets[0] } }, rescue_password: secrets[1] }],
      system_logs: "A".repeat(100),
      urls: [`http://user:${secrets[2]}@images.example/disk.raw`],
    };
    await registry.execute("test.echo_sync", { value });
    await registry.execute("test.broken_sync", {});
    const log = system.records.map(({ level, message }) => `${level} ${message}`).join("\n");
    expect(log).toContain('DEBUG Executing test.echo_sync with parameters: {"value":{"configdrive":"<...>"');
    expect(log).toContain('INFO Command test.echo_sync succeeded with result: {"configdrive":"<...>"');
    expect(log).toContain('"system_logs":"<...>"');
    expect(log).toContain("ERROR Command test.broken_sync failed: not a disk");
    for (const secret of secrets) expect(log).not.toContain(secret);
  });
});
