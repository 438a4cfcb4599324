// log.collect_system_logs, with what hardware managers add; the archive itself is tested in test/steps.

import { describe, expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import { unpackTar } from "modern-tar";
import type { HardwareManager } from "../../src/hardware/manager.ts";
import { realClock } from "../../src/system/clock.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { type FixtureOptions, fixture } from "./fixture.ts";

async function collect(options: FixtureOptions, between: () => Promise<void> = async () => undefined) {
  const { registry, system } = await fixture({ clock: realClock, ...options });
  const collecting = registry.execute("log.collect_system_logs", {});
  await between();
  const result = await collecting;
  const { system_logs } = result.command_result as { system_logs: string };
  const entries = await unpackTar(gunzipSync(Buffer.from(system_logs, "base64")));
  const members = new Map(
    entries.map(({ header, data }) => [header.name, Buffer.from(data ?? []).toString()]),
  );
  return { result, members, log: system.records.map(({ message }) => message).join("\n"), system_logs };
}

const RECORDING = {
  programs: { "ip addr": { stdout: "1: lo\n" } },
  files: { "/run/agent/agent.log": "I was here\n" },
};

describe("log.collect_system_logs", () => {
  // control-plane 11.93, contract 10.56
  test("answers a tar.gz in base64, with the agent's own log file, and shows none of it in the log", async () => {
    const { result, members, log, system_logs } = await collect({
      recording: RECORDING,
      config: { log_dir: "/run/agent" },
    });
    expect(result).toMatchObject({ command_name: "collect_system_logs", command_status: "SUCCEEDED" });
    expect(system_logs).toMatch(/^[A-Za-z0-9+/]+=*$/);
    expect(members.get("ip_addr")).toBe("1: lo\n");
    expect(members.get("run/agent/agent.log")).toBe("I was here\n");
    // control-plane 11.48
    expect(log).toContain('"system_logs":"<...>"');
    expect(log).not.toContain(system_logs.slice(0, 40));
  });

  test("hardware managers add texts and files", async () => {
    const manager: Partial<HardwareManager> = {
      collectSystemLogs: async () => ({
        outputs: { "acme/card0": "healthy" },
        files: ["/run/agent/agent.log"],
      }),
    };
    const { members } = await collect({ recording: RECORDING, manager });
    expect(members.get("acme/card0")).toBe("healthy");
    expect(members.get("run/agent/agent.log")).toBe("I was here\n");
  });

  test("a manager that fails costs only what it would have added", async () => {
    const collectSystemLogs = () => Promise.reject(new Error("the card is on fire"));
    const { members, log } = await collect({ recording: RECORDING, manager: { collectSystemLogs } });
    expect(members.get("ip_addr")).toBe("1: lo\n");
    expect(members.get("collection-notes")).toContain("hardware managers: left out, the card is on fire\n");
    expect(log).toContain("the card is on fire");
  });

  test("a manager that hangs is given up and told so", async () => {
    const clock = new ManualClock();
    let told: AbortSignal | undefined;
    const collectSystemLogs = (signal?: AbortSignal) => {
      told = signal;
      return new Promise<never>(() => {});
    };
    const { members } = await collect({ recording: RECORDING, clock, manager: { collectSystemLogs } }, () =>
      clock.advance(35),
    );
    expect(members.get("ip_addr")).toBe("1: lo\n");
    expect(members.get("collection-notes")).toContain("hardware managers: left out, no answer within 35 s\n");
    expect(told?.aborted).toBe(true);
  });

  test("fails with the reason when there is a journal that cannot be read", async () => {
    const programs = {
      "journalctl --version": {},
      journalctl: { exitCode: 1, stderr: "No space left on device" },
    };
    const { registry } = await fixture({ clock: realClock, recording: { programs } });
    const result = await registry.execute("log.collect_system_logs", {});
    expect(result).toMatchObject({
      command_status: "FAILED",
      command_error: { type: "CommandExecutionError" },
    });
    expect(result.command_error?.details).toContain("No space left on device");
  });
});
