import { describe, expect, test } from "bun:test";
import { Config } from "../../src/config/config.ts";
import type { OptionValues } from "../../src/config/options.ts";
import { ClockSyncError, type RestError, SystemRebootError } from "../../src/errors.ts";
import { Deployment } from "../../src/steps/deployment.ts";
import { changePower, type PowerCommand } from "../../src/steps/power.ts";
import { ProgramMissingError } from "../../src/system/programs.ts";
import { type RecordedProgram, recordedSystem } from "../support/recorded-system.ts";

const RAMDISK = {
  "/proc/self/mountinfo": "20 1 0:1 / / rw - rootfs rootfs rw\n",
  "/proc/swaps": "Filename\n",
  "/proc/sysrq-trigger": "",
};
const HOST = { ...RAMDISK, "/proc/self/mountinfo": "20 1 0:1 / / rw - nfs server:/ rw\n" };

type Setup = {
  readonly programs: Record<string, RecordedProgram>;
  readonly config?: Partial<OptionValues>;
  readonly files?: Record<string, string>;
  /** Keeps the machine from waiting for its own end. */
  readonly goesDown?: boolean;
  /** Of a disk that was offered over iSCSI. */
  readonly withdraw?: () => Promise<void>;
};

async function change(command: PowerCommand, setup: Setup) {
  const system = recordedSystem({
    programs: { sync: {}, hwclock: {}, ...setup.programs },
    files: setup.files ?? RAMDISK,
  });
  const abort = new AbortController();
  const goingDown = {
    ...system,
    clock: {
      ...system.clock,
      sleep: (seconds: number, signal?: AbortSignal) => {
        if (setup.goesDown !== false) return new Promise<void>(() => {});
        return system.clock.sleep(seconds, signal);
      },
    },
  };
  const deployment = new Deployment();
  const { withdraw } = setup;
  if (withdraw !== undefined) deployment.offered = { disk: "/dev/sda", iqn: "iqn.2008-10.org:x", withdraw };
  const config = Config.of(setup.config ?? {});
  const context = { system: goingDown, config, signal: abort.signal, deployment };
  const error = await changePower(context, command).then(
    () => null,
    (thrown: unknown) => thrown as RestError,
  );
  await Bun.sleep(0); // lets what is not awaited run as far as it can
  return {
    error,
    calls: system.calls.map((argv) => argv.join(" ")),
    sysrq: system.fileMap.get("/proc/sysrq-trigger"),
    warnings: system.records.filter(({ level }) => level === "WARNING").map(({ message }) => message),
  };
}

describe("the ordinary way", () => {
  // control-plane 11.96: also without ntp_server
  test("hardware clock, flush, and the command", async () => {
    for (const command of ["reboot", "poweroff"] as const) {
      const { error, calls, sysrq } = await change(command, { programs: { [command]: {} } });
      expect(error).toBeNull();
      expect(calls).toEqual(["hwclock -v --systohc", "sync", command]);
      expect(sysrq).toBe("");
    }
  });

  // deploy 7.4
  test("a disk offered over iSCSI is taken back first; one that cannot be is no reason to stay", async () => {
    const order: string[] = [];
    const saying = (word: string) => () => {
      order.push(word);
      return {};
    };
    const run = (withdraw: () => Promise<void>) =>
      change("poweroff", { programs: { sync: saying("sync"), poweroff: saying("poweroff") }, withdraw });
    expect((await run(async () => void order.push("withdraw"))).error).toBeNull();
    expect(order).toEqual(["withdraw", "sync", "poweroff"]);
    const stuck = await run(() => Promise.reject(new Error("still logged in")));
    expect(stuck.error).toBeNull();
    expect(stuck.warnings.join()).toContain("still logged in");
    expect(stuck.calls).toContain("poweroff");
  });

  // control-plane 11.96, deploy 11.86
  test("a ramdisk without hwclock can be switched off, with a warning", async () => {
    const { error, calls, warnings } = await change("poweroff", {
      programs: { hwclock: { exitCode: 1, stderr: "Cannot access the Hardware Clock" }, poweroff: {} },
    });
    expect(error).toBeNull();
    expect(calls.at(-1)).toBe("poweroff");
    expect(warnings.join()).toContain("Cannot access the Hardware Clock");
    const missing = () => {
      throw new ProgramMissingError("hwclock", "not found in PATH");
    };
    for (const fail_if_clock_not_set of [false, true]) {
      const programs = { hwclock: missing, reboot: {} };
      const without = await change("reboot", { programs, config: { fail_if_clock_not_set } });
      expect(without.error).toBeNull();
      expect(without.calls.at(-1)).toBe("reboot");
      expect(without.warnings.join()).toContain("cannot run hwclock");
    }
  });

  // control-plane 11.96
  test("fail_if_clock_not_set makes that an error, and the machine stays on", async () => {
    const { error, calls } = await change("poweroff", {
      programs: { hwclock: { exitCode: 1 }, poweroff: {} },
      config: { fail_if_clock_not_set: true },
    });
    expect(error).toBeInstanceOf(ClockSyncError);
    expect(error?.details).toStartWith("Failed to sync hardware clock: ");
    expect(calls).not.toContain("poweroff");
  });

  test("a failing sync is a warning", async () => {
    const { error, calls } = await change("reboot", { programs: { sync: { exitCode: 1 }, reboot: {} } });
    expect(error).toBeNull();
    expect(calls).toContain("reboot");
  });
});

describe("when the command does not work", () => {
  test("systemctl is next", async () => {
    const { error, calls, sysrq } = await change("reboot", { programs: { systemctl: {} } });
    expect(error).toBeNull();
    expect(calls.slice(-2)).toEqual(["reboot", "systemctl reboot"]);
    expect(sysrq).toBe("");
  });

  // deploy 11.85
  test("sysrq is last: after failures, and in a chroot, where the command succeeds without doing anything", async () => {
    const ignoring = { stderr: "Running in chroot, ignoring request.\n" };
    for (const programs of [{ reboot: { exitCode: 1 } }, { reboot: ignoring, systemctl: ignoring }]) {
      const { error, calls, sysrq } = await change("reboot", { programs });
      expect(error).toBeNull();
      expect(sysrq).toBe("b");
      expect(calls.at(-1)).toBe("sync");
    }
    expect((await change("poweroff", { programs: {} })).sysrq).toBe("o");
  });

  test("sysrq that fails is SystemRebootError", async () => {
    const { "/proc/sysrq-trigger": _, ...files } = RAMDISK;
    const { error } = await change("reboot", { programs: {}, files });
    expect(error).toBeInstanceOf(SystemRebootError);
    expect(error?.details).toContain("/proc/sysrq-trigger");
  });

  test("a machine that is not in a ramdisk is never reset by force", async () => {
    const config = { allow_host_disks: true };
    const { error, sysrq } = await change("reboot", { programs: {}, files: HOST, config });
    expect(error).toBeInstanceOf(SystemRebootError);
    expect(sysrq).toBe("");
  });

  test("outside a ramdisk the machine is not taken down at all, unless it is a test machine", async () => {
    const programs = { reboot: {} };
    const refused = await change("reboot", { programs, files: HOST });
    expect(refused.error?.details).toContain("Refused to reboot: the agent does not run from a ramdisk");
    expect(refused.calls).toEqual([]);
    const allowed = await change("reboot", { programs, files: HOST, config: { allow_host_disks: true } });
    expect(allowed.calls).toContain("reboot");
  });
});

describe("a machine that is still there a minute after it took the order", () => {
  test("is forced by systemd and, if that does not help either, by the kernel", async () => {
    const { error, calls, sysrq, warnings } = await change("poweroff", {
      programs: { poweroff: {}, systemctl: {} },
      goesDown: false,
    });
    expect(error).toBeNull();
    expect(calls.slice(-3)).toEqual(["poweroff", "systemctl --force poweroff", "sync"]);
    expect(sysrq).toBe("o");
    expect(warnings.join()).toContain("still running 60 s after poweroff");
  });

  test("is forced by the kernel alone where there is no systemd", async () => {
    const { calls, sysrq } = await change("reboot", { programs: { reboot: {} }, goesDown: false });
    expect(calls.slice(-2)).toEqual(["systemctl --force reboot", "sync"]);
    expect(sysrq).toBe("b");
  });
});
