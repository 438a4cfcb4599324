import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ataSecureErase, eraseMinutes, parseSecurity } from "../../src/disk/ata-security.ts";
import { BlockDeviceEraseError } from "../../src/errors.ts";
import type { Progress } from "../../src/progress.ts";
import { type RecordedProgram, recordedSystem } from "../support/recorded-system.ts";
import { rejection, thrower } from "../support/rejection.ts";
import { AtaDrive, type AtaDriveOptions } from "./ata-drive.ts";
import { recordedOutput } from "./recording/sessions.ts";

function erase(options: AtaDriveOptions = {}, programs: Record<string, RecordedProgram> = {}) {
  const drive = new AtaDrive(options);
  const system = recordedSystem({ programs: { ...drive.programs, ...programs } });
  const reports: Progress[] = [];
  const abort = new AbortController();
  const report = (progress: Progress) => void reports.push(progress);
  return {
    drive,
    system,
    reports,
    abort,
    run: () => ataSecureErase(system, "/dev/sda", { signal: abort.signal, report }),
    /** What hdparm was asked to do, without the questions. */
    commands() {
      return system.calls
        .filter(([program, option]) => program === "hdparm" && option !== "-I")
        .map((argv) => argv.slice(1).join(" "));
    },
  };
}

const SET_PASSWORD = "--user-master u --security-set-pass NULL /dev/sda";
const ERASE = "--user-master u --security-erase NULL /dev/sda";
const ENHANCED = "--user-master u --security-erase-enhanced NULL /dev/sda";
const DISABLE = "--user-master u --security-disable NULL /dev/sda";
const unlock = (password: string) => `--user-master u --security-unlock ${password} /dev/sda`;

// hardware 13.59
describe("a drive with the security feature set", () => {
  test("gets a password and is erased, enhanced unless it says that it cannot", async () => {
    const enhanced = erase();
    expect(await enhanced.run()).toMatchObject({
      enhanced: true,
      output: expect.stringContaining("SECURITY"),
    });
    expect(enhanced.commands()).toEqual([SET_PASSWORD, ENHANCED]);
    const plain = erase({ enhanced: false });
    expect(await plain.run()).toMatchObject({ enhanced: false });
    expect(plain.commands()).toEqual([SET_PASSWORD, ERASE]);
    expect([enhanced.drive.erased, plain.drive.erased]).toEqual(["enhanced", "normal"]);
  });

  test("tells how long it takes, and that is what the progress goes by", async () => {
    const { run, reports } = erase({ minutes: 24 });
    await run();
    expect(reports[0]).toEqual({
      phase: "ATA enhanced secure erase",
      ...{ done: 0, total: 100, unit: "percent", rate: null, remaining: 24 * 60 },
    });
  });

  test("that is frozen is an error, and nothing was tried", async () => {
    const { run, commands } = erase({ frozen: true });
    const failed = run();
    expect(await rejection(failed)).toBeInstanceOf(BlockDeviceEraseError);
    expect(await thrower(failed)).toThrow(/\/dev\/sda is frozen/);
    expect(commands()).toEqual([]);
  });

  test("left locked by an earlier erase is unlocked, also by the second password", async () => {
    const first = erase({ password: "" });
    await first.run();
    expect(first.commands()).toEqual([unlock("NULL"), ENHANCED]);
    const second = erase({ password: "", literal: true });
    await rejection(second.run());
    expect(second.commands().slice(0, 3)).toEqual([unlock("NULL"), unlock(""), ENHANCED]);
  });

  test("locked by somebody's own password is an error that says so", async () => {
    const { run, commands, drive } = erase({ password: "theirs" });
    expect(await thrower(run())).toThrow(/password is set on \/dev\/sda/);
    expect(commands()).toEqual([unlock("NULL"), unlock("")]);
    expect(drive.erased).toBeNull();
  });

  test("that takes no password is an error", async () => {
    const { run, drive } = erase({ refuses: "set-pass" });
    expect(await thrower(run())).toThrow(
      /could not be set on \/dev\/sda: .*SECURITY_SET_PASS: Input\/output error.*No security password is left/,
    );
    expect(drive.passwordIsSet).toBe(false);
  });

  test("that refuses to erase is unlocked, and the password taken off again", async () => {
    const { run, commands, drive } = erase({ refuses: "erase" });
    const failed = run();
    expect(await rejection(failed)).toBeInstanceOf(BlockDeviceEraseError);
    expect(await thrower(failed)).toThrow(
      /SECURITY_ERASE: Input\/output error\. No security password is left/,
    );
    expect(commands()).toEqual([SET_PASSWORD, ENHANCED, unlock("NULL"), DISABLE]);
    expect(drive.passwordIsSet).toBe(false);
  });

  test("that will not give the password back is an error that says how to take it off", async () => {
    const { run } = erase({ refuses: "erase, then unlock" });
    expect(await thrower(run())).toThrow(
      /STILL SET ON THE DRIVE.*hdparm --user-master u --security-disable NULL \/dev\/sda/,
    );
  });

  test("that reports success and still has its password was not erased", async () => {
    const { run, drive } = erase({ refuses: "erase silently" });
    expect(await thrower(run())).toThrow(
      /\/dev\/sda ended its secure erase without an error.*No security password is left/,
    );
    expect(drive.passwordIsSet).toBe(false);
  });

  test("loses its password also when the step is aborted in the middle", async () => {
    const aborted: ReturnType<typeof erase> = erase(
      {},
      {
        hdparm: (argv) => {
          if (argv.includes("--security-erase-enhanced")) {
            aborted.abort.abort(new Error("told to end"));
            throw new Error("ended");
          }
          return (aborted.drive.programs.hdparm as (a: readonly string[]) => object)(argv);
        },
      },
    );
    expect(await thrower(aborted.run())).toThrow("told to end");
    expect(aborted.commands().at(-1)).toBe(DISABLE);
    expect(aborted.drive.passwordIsSet).toBe(false);
  });

  test("that does not answer is an error, not a drive without security", async () => {
    const { run } = erase({}, { hdparm: { exitCode: 2, stderr: "/dev/sda: No such device" } });
    expect(await rejection(run())).toBeInstanceOf(BlockDeviceEraseError);
  });
});

describe("nothing is done", () => {
  test("on a drive without security, recorded from QEMU's", async () => {
    for (const device of ["/dev/vda", "/dev/sda", "/dev/sdb"]) {
      const hdparm = await recordedOutput("erase", `hdparm -I ${device}`);
      const { run, commands } = erase({}, { hdparm });
      expect(await run()).toBeNull();
      expect(commands()).toEqual([]);
    }
    const { run } = erase({ supported: false });
    expect(await run()).toBeNull();
  });

  // hardware 13.60
  test("where smartctl says that there is no security, or cannot talk to the drive; recorded from QEMU's", async () => {
    for (const device of ["/dev/sdb", "/dev/sda"]) {
      const smartctl = await recordedOutput("erase", `smartctl -d ata ${device} -g security`);
      const { run, commands } = erase({ smartctl });
      expect(await run()).toBeNull();
      expect(commands()).toEqual([]);
    }
    const unavailable = erase({ smartctl: { exitCode: 127, stdout: "ATA Security is:  Unavailable\n" } });
    expect(await unavailable.run()).toBeNull();
  });

  test("without hdparm", async () => {
    const system = recordedSystem({ programs: {} });
    const options = { signal: new AbortController().signal, report: () => {} };
    expect(await ataSecureErase(system, "/dev/sda", options)).toBeNull();
  });
});

// hardware 13.60
test("a ramdisk without smartctl erases all the same", async () => {
  const { run, drive } = erase({ smartctl: "missing" });
  expect(await run()).not.toBeNull();
  expect(drive.erased).toBe("enhanced");
});

describe("the security section", () => {
  test("ends at the next section; words are separated by single blanks", () => {
    expect(parseSecurity(new AtaDrive().identity())).toEqual([
      "Master password revision code = 65534",
      "supported",
      "not enabled",
      "not locked",
      "not frozen",
      "not expired: security count",
      "supported: enhanced erase",
      "88min for SECURITY ERASE UNIT. 88min for ENHANCED SECURITY ERASE UNIT.",
    ]);
  });

  test("may begin without the blank that hdparm prints after the colon", () => {
    expect(parseSecurity("Security:\n\t\tsupported\nend")).toEqual(["supported"]);
  });

  test("tells the time of each way to erase, also beyond what the field can hold", () => {
    const lines = parseSecurity(new AtaDrive({ enhanced: false }).identity());
    expect([eraseMinutes(lines, false), eraseMinutes(lines, true)]).toEqual([88, null]);
    expect(eraseMinutes(["more than 508min for SECURITY ERASE UNIT."], false)).toBe(508);
    expect(eraseMinutes(["2min for SECURITY ERASE UNIT. 4min for ENHANCED SECURITY ERASE UNIT."], true)).toBe(
      4,
    );
  });

  test("is read from any text without a fault, and never invented", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const lines = parseSecurity(text);
        if (!text.includes("Security:")) expect(lines).toEqual([]);
        for (const line of lines) expect(line).not.toContain("\t");
      }),
    );
  });
});
