// The program ironic-collect-introspection-data, without its process; main.test.ts has that.

import { describe, expect, test } from "bun:test";
import type { OptionValues } from "../../src/config/options.ts";
import { collectIntrospectionData } from "../../src/inspection/introspection.ts";
import { type Answer, FakeInspector, inspectedMachine } from "./support.ts";

/** Runs it until it ends by itself or has slept `sleeps` times. */
async function introspection(answers: readonly Answer[], values: Partial<OptionValues> = {}, sleeps = 0) {
  const inspector = new FakeInspector(...answers);
  const machine = await inspectedMachine(
    { http: inspector.http },
    { inspection_callback_url: "http://192.0.2.1:5050/v1/continue", inspection_collectors: [], ...values },
  );
  const { system, config, managers } = machine;
  const abort = new AbortController();
  const pauses: number[] = [];
  const sleep = system.clock.sleep.bind(system.clock);
  // Sleeps of the retries are 5 s at least, and none here is so short.
  system.clock.sleep = async (seconds, signal) => {
    if (seconds <= 12) return sleep(seconds, signal);
    pauses.push(seconds);
    if (pauses.length > sleeps) abort.abort(new Error("told to stop"));
    abort.signal.throwIfAborted();
  };
  let random = 0;
  // All of the range, in turn.
  system.clock.uniform = (low, high) => low + (high - low) * ((random++ % 11) / 10);
  let loads = 0;
  const context = {
    system,
    config,
    loadManagers: async () => {
      loads++;
      return managers;
    },
  };
  const exitCode = await collectIntrospectionData(context, abort.signal);
  const log = system.records.map(({ level, message }) => `${level} ${message}`);
  return { exitCode, inspector, pauses, log, loads };
}

// control-plane 11.89
describe("once", () => {
  test("succeeds with the answer of the service", async () => {
    const { exitCode, inspector } = await introspection([{ status: 200 }]);
    expect([exitCode, inspector.requests.length]).toEqual([0, 1]);
  });

  test("fails when the data are refused, not taken, or cannot be delivered", async () => {
    for (const answer of [{ status: 400 }, { status: 500 }, "refused"] as const) {
      const { exitCode, log } = await introspection([answer]);
      expect(exitCode).toBe(1);
      expect(log.filter((line) => line.startsWith("ERROR Inspection failed: "))).toHaveLength(1);
    }
  });

  test("fails when something could not be collected, with the rest delivered", async () => {
    const { exitCode, inspector } = await introspection([{ status: 200 }], {
      inspection_collectors: ["pci-devices"],
    });
    expect(exitCode).toBe(1);
    expect(inspector.requests).toHaveLength(1);
  });

  test("does nothing, and says so, when it is not told where to send the data", async () => {
    const { exitCode, inspector, log, loads } = await introspection([], {
      inspection_callback_url: null,
      introspection_daemon: true,
    });
    expect([exitCode, inspector.requests.length, loads]).toEqual([0, 0, 0]);
    expect(log.some((line) => line.startsWith("WARNING nothing is inspected"))).toBe(true);
  });
});

test("told to stop, it does not wait for what cannot be interrupted", async () => {
  const { http } = new FakeInspector({ status: 200 });
  const { system, config } = await inspectedMachine(
    { http },
    { inspection_callback_url: "http://192.0.2.1/" },
  );
  const abort = new AbortController();
  const hanging = async () => {
    abort.abort(new Error("told to stop"));
    return new Promise<never>(() => undefined);
  };
  expect(await collectIntrospectionData({ system, config, loadManagers: hanging }, abort.signal)).toBe(0);
});

describe("as a daemon", () => {
  const daemon = { introspection_daemon: true, introspection_daemon_post_interval: 300 };

  test("ends when the first inspection fails", async () => {
    const { exitCode, pauses } = await introspection([{ status: 400 }], daemon, 5);
    expect([exitCode, pauses]).toEqual([1, []]);
  });

  // control-plane 11.89, DEV-27: the jitter does not add up
  test("posts again and again, with new managers, within 0.7 and 1.2 of the interval for 50 rounds", async () => {
    const { exitCode, pauses, inspector, loads } = await introspection([{ status: 200 }], daemon, 50);
    expect(exitCode).toBe(0);
    expect(pauses).toHaveLength(51);
    expect(Math.min(...pauses)).toBeCloseTo(210, 6);
    expect(Math.max(...pauses)).toBeCloseTo(360, 6);
    expect([inspector.requests.length, loads]).toEqual([51, 51]);
  });

  test("backs off by 2.7 with each failure up to four intervals, and is back at once after success", async () => {
    const failed = { status: 400 };
    const answers = [{ status: 200 }, failed, failed, failed, { status: 200 }];
    const { pauses } = await introspection(answers, daemon, 5);
    const intervals = pauses.map((pause, round) => pause / (0.7 + 0.05 * round));
    expect(intervals.map(Math.round)).toEqual([300, 810, 1200, 1200, 300, 300]);
  });
});
