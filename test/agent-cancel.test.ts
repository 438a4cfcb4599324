// The agent is told to end in the middle of a long step with real programs and a real mount: nothing of it may be left behind, and
// whoever waits for the step gets an answer (issue 4, Deliver 3; control-plane 1.4 and 11.16, DEV-3).

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Agent } from "../src/agent.ts";
import { Config } from "../src/config/config.ts";
import { mountTemporarily } from "../src/disk/mounts.ts";
import type { CommandResult } from "../src/extensions/command-result.ts";
import type { Step } from "../src/steps/step.ts";
import { type Clock, realClock } from "../src/system/clock.ts";
import type { StartCompanion } from "../src/system/companion.ts";
import { realFiles } from "../src/system/files.ts";
import { createLogger } from "../src/system/log.ts";
import { createRun } from "../src/system/programs.ts";
import { loopbackOptions, testMachine, testManager } from "./support/test-machine.ts";

/** Ignores SIGTERM, and so does what it starts; prints the pids of both. */
const STUBBORN = "trap '' TERM; (while :; do sleep 1; done) & echo $$ $!; while :; do sleep 1; done";

test("stopping ends a step's stubborn children, releases its mount, and answers who waits, all in time", async () => {
  const begun = Promise.withResolvers<{ mountPoint: string; pids: number[] }>();
  const long: Step = {
    step: "long",
    priority: 0,
    interface: "deploy",
    reboot_requested: false,
    run: async ({ system, signal }) => {
      await using mounted = await mountTemporarily(system, "tmpfs", {
        type: "tmpfs",
        readOnly: false,
        signal,
      });
      await system.run(["sh", "-c", STUBBORN], {
        timeout: Number.POSITIVE_INFINITY,
        signal,
        onOutput: (text) =>
          begun.resolve({ mountPoint: mounted.path, pids: text.trim().split(" ").map(Number) }),
      });
      return null;
    },
  };
  const machine = testMachine();
  const run = createRun(
    realClock,
    createLogger("test", "ERROR", () => {}),
  );
  const options = await loopbackOptions();
  const system = { ...machine, run, files: { ...machine.files, ...mountPointsOf(realFiles) } };
  const agent = new Agent(system, Config.of({ standalone: true, ...options }), [
    testManager("52:54:00:aa:00:01", () => ({ deploy: [long] })),
  ]);
  const ended = agent.run();
  while (agent.port === null) await Bun.sleep(2);
  const waiting = fetch(`http://127.0.0.1:${agent.port}/v1/commands/?wait=true`, {
    method: "POST",
    body: JSON.stringify({
      name: "deploy.execute_deploy_step",
      params: { step: { step: "long" }, node: {}, ports: [] },
    }),
  });
  const { mountPoint, pids } = await begun.promise;
  expect(isMounted(mountPoint)).toBe(true);
  expect(pids.map(isAlive)).toEqual([true, true]);

  agent.stop();

  expect(await ended).toBe(0);
  expect(pids.map(isAlive)).toEqual([false, false]);
  expect(isMounted(mountPoint)).toBe(false);
  expect(await realFiles.kind(mountPoint)).toBeNull();
  const { command_status, command_error } = (await (await waiting).json()) as CommandResult;
  expect(command_status).toBe("FAILED");
  expect(command_error?.details).toContain("the agent is shutting down");
  expect(machine.records.map(({ message }) => message).join("\n")).not.toContain("Not everything ended");
}, 20_000);

// A deaf command and a plug-in that not even SIGKILL ends: each may take its time, but not one after the other.
test("all the parts of a stop share one deadline, plug-ins among them", async () => {
  const begun = Promise.withResolvers<void>();
  const deaf: Step = {
    step: "deaf",
    priority: 0,
    interface: "deploy",
    reboot_requested: false,
    run: () => {
      begun.resolve();
      return new Promise(() => {});
    },
  };
  const machine = testMachine({ hurry: 20, files: { "/plugins/stuck.ts": "" } });
  const waits: number[] = [];
  let stopping = false;
  const clock: Clock = {
    ...machine.clock,
    sleep(seconds, signal) {
      if (stopping) waits.push(seconds);
      return machine.clock.sleep(seconds, signal);
    },
  };
  const options = { ...(await loopbackOptions()), hardware_manager_dir: "/plugins", standalone: true };
  const agent = new Agent({ ...machine, clock, startCompanion: startStuck }, Config.of(options), [
    testManager("52:54:00:aa:00:01", () => ({ deploy: [deaf] })),
  ]);
  const ended = agent.run();
  while (agent.port === null) await Bun.sleep(2);
  await fetch(`http://127.0.0.1:${agent.port}/v1/commands/`, {
    method: "POST",
    body: JSON.stringify({
      name: "deploy.execute_deploy_step",
      params: { step: { step: "deaf" }, node: {}, ports: [] },
    }),
  });
  await begun.promise;
  stopping = true;
  agent.stop();
  expect(await ended).toBe(0);
  // For the command, and for the plug-in what is left of the four seconds; the fifth is the log's.
  expect(waits).toHaveLength(2);
  expect(waits[0]).toBeGreaterThan(2);
  expect(waits[1]).toBeGreaterThan(0);
  expect((waits[0] ?? 0) + (waits[1] ?? 0)).toBeLessThanOrEqual(4);
}, 20_000);

/** A plug-in that is not for this machine, in a process that cannot be ended. */
const startStuck: StartCompanion = ({ onMessage }) => ({
  send(message) {
    const { call, method } = message as { call?: number; method?: string };
    const description = { className: "Stuck", name: "stuck", version: "1", methods: [], initializes: false };
    if (call !== undefined) onMessage({ done: call, result: method === "load" ? description : 0 });
  },
  stop: () => new Promise(() => {}),
});

function mountPointsOf({ temporaryMountPoint }: typeof realFiles) {
  return { temporaryMountPoint };
}

function isMounted(path: string): boolean {
  return readFileSync("/proc/self/mounts", "utf8").includes(` ${path} `);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // One that nobody has waited for yet has ended, too.
  return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}
