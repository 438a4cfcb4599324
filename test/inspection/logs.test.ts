import { describe, expect, test } from "bun:test";
import { Config } from "../../src/config/config.ts";
import { collectLogs } from "../../src/inspection/logs.ts";
import { collectUsb } from "../../src/inspection/usb.ts";
import { FileError } from "../../src/system/files.ts";
import { inspectedMachine } from "./support.ts";

const JOURNAL = {
  "journalctl --version": { stdout: "systemd 252" },
  "journalctl --full --no-pager -b -n 10000": { stdout: "first line\nlast line\n" },
};

describe("the collector logs", () => {
  test("is a tar.gz in base64 with at most 10,000 lines of the journal", async () => {
    const machine = await inspectedMachine({ programs: { ...JOURNAL, ps: { stdout: "PID COMMAND\n" } } });
    const { logs } = await collectLogs(machine);
    const files = await new Bun.Archive(Buffer.from(logs as string, "base64")).files();
    expect(await files.get("journal")!.text()).toBe("first line\nlast line\n");
    expect(await files.get("ps")!.text()).toBe("PID COMMAND\n");
  });

  test("is absent, which is no failure, when the journal cannot be read", async () => {
    const broken = { exitCode: 1, stderr: "No journal files were found" };
    const programs = { ...JOURNAL, "journalctl --full --no-pager -b -n 10000": broken };
    const machine = await inspectedMachine({ programs });
    expect(await collectLogs(machine)).toEqual({});
    expect(machine.warnings().join()).toContain("the inspection data come without logs");
  });

  test("is absent when anything else about them fails: data without logs are worth more than none", async () => {
    const machine = await inspectedMachine({ programs: JOURNAL });
    machine.system.files.kind = async (path) => {
      throw new FileError("looking at", path, "EIO");
    };
    const collected = await collectLogs({ ...machine, config: Config.of({ log_dir: "/var/log/agent" }) });
    expect(collected).toEqual({});
    expect(machine.warnings().join()).toContain("without logs: looking at /var/log/agent: ");
  });

  test("begins when the collectors before it have ended", async () => {
    const machine = await inspectedMachine({ programs: JOURNAL });
    const earlier = Promise.withResolvers<void>();
    const work = collectLogs({ ...machine, earlier: earlier.promise });
    await new Promise((resolve) => setImmediate(resolve));
    const asked = () => machine.system.calls.some(([program]) => program === "journalctl");
    expect(asked()).toBe(false);
    earlier.resolve();
    await work;
    expect(asked()).toBe(true);
  });

  test("takes what lshw just told another collector, and asks again when that was a while ago", async () => {
    const LSHW = "lshw -quiet -json";
    const machine = await inspectedMachine({
      programs: { ...JOURNAL, [LSHW]: { stdout: '{"id": "machine"}\n' } },
    });
    const runs = () => machine.system.calls.filter((argv) => argv.join(" ") === LSHW).length;
    await Promise.all([collectUsb(machine), machine.managers.lshw.tree()]);
    expect(runs()).toBe(1);
    const { logs } = await collectLogs(machine);
    const files = await new Bun.Archive(Buffer.from(logs as string, "base64")).files();
    expect(await files.get("lshw")!.text()).toBe('{"id": "machine"}\n');
    expect(runs()).toBe(1);
    // Somebody who wants the tree gets a new one.
    await collectUsb(machine);
    expect(runs()).toBe(2);
    await machine.system.clock.sleep(61);
    await collectLogs(machine);
    expect(runs()).toBe(3);
  });
});
