// hardware 13.90. stress-ng's words are those of Debian 12's 0.15.06.

import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { CleaningError, CommandExecutionError } from "../../../src/errors.ts";
import { burnInCpu, burnInMemory } from "../../../src/steps/burn-in/stress-ng.ts";
import { ProgramFailedError } from "../../../src/system/programs.ts";
import { recordedSystem } from "../../support/recorded-system.ts";
import { rejection, thrower } from "../../support/rejection.ts";
import { burnInContext, missing, realSystem } from "./support.ts";

const OUTPUT = await Bun.file("test/fixtures/burn-in/stress-ng-cpu.txt").text();

function machine() {
  return recordedSystem({ programs: { "stress-ng": { stderr: OUTPUT } } });
}

test("the command lines without any settings", async () => {
  const system = machine();
  expect(await burnInCpu(burnInContext(system))).toBeNull();
  expect(await burnInMemory(burnInContext(system))).toBeNull();
  expect(system.calls.map((argv) => argv.join(" "))).toEqual([
    "stress-ng --cpu 0 --timeout 86400 --metrics-brief",
    "stress-ng --vm 0 --timeout 86400 --vm-bytes 98% --metrics-brief",
  ]);
});

test("every setting has its place", async () => {
  const system = machine();
  await burnInCpu(
    burnInContext(system, {
      agent_burnin_cpu_cpu: "3",
      agent_burnin_cpu_timeout: 60,
      agent_burnin_cpu_outputfile: "/var/log/burnin.cpu",
    }),
  );
  await burnInMemory(
    burnInContext(system, {
      agent_burnin_vm_vm: 2,
      "agent_burnin_vm_vm-bytes": "50%",
      agent_burnin_vm_timeout: "2h",
      agent_burnin_vm_outputfile: "/var/log/burnin.vm",
    }),
  );
  expect(system.calls.map((argv) => argv.join(" "))).toEqual([
    "stress-ng --cpu 3 --timeout 60 --metrics-brief --log-file /var/log/burnin.cpu",
    "stress-ng --vm 2 --timeout 2h --vm-bytes 50% --metrics-brief --log-file /var/log/burnin.vm",
  ]);
});

test("what it printed is in the log, and how far it is in the progress", async () => {
  const system = machine();
  const context = burnInContext(system, { agent_burnin_cpu_timeout: 100 });
  await burnInCpu(context);
  const messages = system.records.map(({ message }) => message);
  expect(messages).toContainEqual(expect.stringMatching(/^stress-ng: .*successful run completed/));
  expect(context.reports[0]).toMatchObject({ phase: "testing the processors", done: 0, remaining: 100 });
});

test("a missing tool, one that fails, and settings that mean nothing", async () => {
  const without = burnInCpu(burnInContext(recordedSystem()));
  expect(await rejection(without)).toBeInstanceOf(CommandExecutionError);
  expect(await thrower(without)).toThrow("stress-ng failed: cannot run stress-ng");

  const failing = recordedSystem({
    programs: { "stress-ng": { exitCode: 2, stderr: "cpu: calculation error" } },
  });
  expect(await thrower(burnInMemory(burnInContext(failing)))).toThrow(
    /stress-ng failed: .*exit code 2.*calculation error/,
  );

  const system = machine();
  const wrong = burnInCpu(burnInContext(system, { agent_burnin_cpu_timeout: "a while" }));
  expect(await rejection(wrong)).toBeInstanceOf(CleaningError);
  expect(system.calls).toEqual([]);
});

test("it may take its time and an hour more, and ends when the step is aborted", async () => {
  const given: unknown[] = [];
  const stop = new AbortController();
  const system = {
    ...recordedSystem(),
    run: async (argv: readonly string[], options: object = {}) => {
      given.push(options);
      stop.abort(new Error("the agent is to end"));
      throw new ProgramFailedError(argv, "ended by SIGTERM", null, "", "");
    },
  };
  const context = burnInContext(system, { agent_burnin_cpu_timeout: 60 }, { signal: stop.signal });
  expect(await thrower(burnInCpu(context))).toThrow("the agent is to end");
  expect(given).toEqual([expect.objectContaining({ timeout: 3660, signal: stop.signal })]);
});

describe.skipIf(missing("stress-ng") !== null)("the real stress-ng", () => {
  test("takes the command lines and writes the log file", async () => {
    const directory = await mkdtemp("/tmp/burn-in-");
    try {
      const file = `${directory}/log`;
      const system = realSystem();
      await burnInCpu(
        burnInContext(system, {
          agent_burnin_cpu_cpu: 1,
          agent_burnin_cpu_timeout: 1,
          agent_burnin_cpu_outputfile: file,
        }),
      );
      expect(await Bun.file(file).text()).toMatch(/stress-ng: .*cpu/);
      await burnInMemory(
        burnInContext(system, {
          agent_burnin_vm_vm: 1,
          agent_burnin_vm_timeout: "1s",
          "agent_burnin_vm_vm-bytes": "4m",
        }),
      );
    } finally {
      await rm(directory, { recursive: true });
    }
  }, 30_000);
});
