import { describe, expect, test } from "bun:test";
import { Config } from "../../src/config/config.ts";
import { ClockSyncError } from "../../src/errors.ts";
import { syncClock } from "../../src/steps/clock-sync.ts";
import { type RecordedProgram, recordedSystem } from "../support/recorded-system.ts";

const signal = new AbortController().signal;

async function sync(server: string | null, programs: Record<string, RecordedProgram>, strict = false) {
  const system = recordedSystem({ programs });
  const config = Config.of({ ntp_server: server, fail_if_clock_not_set: strict });
  const error = await syncClock(system, config, signal).catch((thrown: unknown) => thrown);
  return { calls: system.calls.map((argv) => argv.join(" ")), error, records: system.records };
}

describe("setting the clock", () => {
  test("does nothing without a server", async () => {
    for (const none of [null, ""])
      expect(await sync(none, {}, true)).toMatchObject({ calls: [], error: undefined });
  });

  test("by chrony, once its daemon has let go of the clock", async () => {
    const { calls, error } = await sync("pool.ntp.org", {
      // chronyd 4.3 prints its usage and exits with 1 for -h on some builds.
      "chronyd -h": { exitCode: 1 },
      "chronyc shutdown": { exitCode: 1, stderr: "506 Cannot talk to daemon\n" },
      chronyd: {},
    });
    expect(error).toBeUndefined();
    expect(calls).toEqual(["chronyd -h", "chronyc shutdown", "chronyd -q server pool.ntp.org iburst"]);
  });

  test("by chrony also in a ramdisk without chronyc, which never starts a daemon", async () => {
    const { calls, error } = await sync("192.0.2.1", { chronyd: {} }, true);
    expect(error).toBeUndefined();
    expect(calls.at(-1)).toBe("chronyd -q server 192.0.2.1 iburst");
  });

  test("by a server with an IPv6 address", async () => {
    const { calls, error } = await sync("2001:db8::123", { ntpdate: {} }, true);
    expect(error).toBeUndefined();
    expect(calls.at(-1)).toBe("ntpdate 2001:db8::123");
  });

  test("by ntpdate where there is no chrony", async () => {
    const { calls } = await sync("192.0.2.1", { ntpdate: {} });
    expect(calls).toEqual(["chronyd -h", "ntpdate -v", "ntpdate 192.0.2.1"]);
  });

  test("failures are logged, or fatal if the operator says so", async () => {
    const lenient = await sync("192.0.2.1", {});
    expect(lenient.error).toBeUndefined();
    expect(
      lenient.records.some(({ level, message }) => level === "ERROR" && message.includes("ntpdate")),
    ).toBe(true);
    expect((await sync("192.0.2.1", {}, true)).error).toBeInstanceOf(ClockSyncError);
  });

  // control-plane 11.95, deploy 11.85
  test("a server that is none is refused and nothing runs", async () => {
    for (const server of [
      "x; reboot",
      "`reboot`",
      "x|y",
      "x\u0000y",
      "\u00e9",
      "-q",
      "a b",
      "a\nb",
      "$(x)",
      "x".repeat(300),
    ]) {
      const { calls, error } = await sync(server, { chronyd: {}, chronyc: {} }, true);
      expect(calls).toEqual([]);
      expect(error).toBeInstanceOf(ClockSyncError);
    }
  });
});
