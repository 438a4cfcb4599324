// The archive of logs: made from this machine with its real tools, and from recorded machines where tools are missing or fail.

import { describe, expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import { unpackTar } from "modern-tar";
import { collectSystemLogs, type SystemLogsOptions } from "../../src/steps/system-logs.ts";
import { realClock } from "../../src/system/clock.ts";
import { FileError, realFiles } from "../../src/system/files.ts";
import { createLogger } from "../../src/system/log.ts";
import { createRun, type RunOptions } from "../../src/system/programs.ts";
import type { System } from "../../src/system/system.ts";
import { type Recording, recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";

type Member = {
  readonly header: Awaited<ReturnType<typeof unpackTar>>[number]["header"];
  readonly text: string;
};

async function unpack(base64: string): Promise<Map<string, Member>> {
  const entries = await unpackTar(gunzipSync(Buffer.from(base64, "base64")));
  return new Map(
    entries.map(({ header, data }) => [header.name, { header, text: Buffer.from(data ?? []).toString() }]),
  );
}

const options = (more: Partial<SystemLogsOptions> = {}): SystemLogsOptions => ({
  signal: new AbortController().signal,
  ...more,
});

async function collect(recording: Recording, more: Partial<SystemLogsOptions> = {}) {
  const system = recordedSystem(recording);
  const members = await unpack(await collectSystemLogs(system, options(more)));
  return { system, members, text: (name: string) => members.get(name)?.text };
}

const ALL = "ps df iptables ip lshw lsblk multipath efibootmgr mount parted dmesg".split(" ");
const PROGRAMS = Object.fromEntries(
  ALL.map((name) => [name, (argv: readonly string[]) => ({ stdout: `output of ${argv.join(" ")}\n` })]),
);
const JOURNAL = { "journalctl --version": {}, journalctl: { stdout: "journal line\n" } };
const MDSTAT = { "/proc/mdstat": "Personalities : [raid1]\n" };

describe("what is in the archive", () => {
  // control-plane 11.93
  test("the members of the specification, as plain files of root", async () => {
    const { members, system } = await collect({ programs: { ...PROGRAMS, ...JOURNAL }, files: MDSTAT });
    expect([...members.keys()].sort()).toEqual(
      [
        ..."journal dmesg ps df iptables ip_addr lshw lsblk mdstat".split(" "),
        ..."multipath efibootmgr lsblk-full mount parted".split(" "),
      ].sort(),
    );
    expect(members.get("ip_addr")).toMatchObject({
      header: { type: "file", uid: 0, gid: 0, mode: 0o644, mtime: new Date(1_800_000_000_000) },
      text: "output of ip addr\n",
    });
    expect(members.get("mdstat")?.text).toBe(MDSTAT["/proc/mdstat"]);
    expect(system.calls).toContainEqual(["journalctl", "--full", "--no-pager", "-b", "-n", "50000"]);
    expect(system.calls).toContainEqual(["lsblk", "--all", "--bytes", "--output-all", "--pairs"]);
  });

  // control-plane 11.93
  test("a failing iptables and a missing multipath are merely absent, and the notes say why", async () => {
    const { iptables: _, multipath: __, ...programs } = PROGRAMS;
    const { members, text } = await collect({
      programs: { ...programs, ...JOURNAL, iptables: { exitCode: 3, stderr: "Permission denied\n" } },
      files: MDSTAT,
    });
    expect(members.has("iptables")).toBe(false);
    expect(members.has("multipath")).toBe(false);
    expect(text("ps")).toBe("output of ps aux\n");
    expect(text("collection-notes")).toBe(
      "iptables: left out, iptables -L: exit code 3: Permission denied\nmultipath: left out, cannot run multipath: not recorded\n",
    );
  });

  // control-plane 11.94
  test("without journalctl: dmesg and the files of /var/log, also those deep down", async () => {
    const files = {
      "/var/log/messages": "first\n",
      "/var/log/apt/history.log": "second\n",
      "/var/log/linked": { link: "/etc/shadow" },
      "/etc/shadow": "root:S3CRET\n",
    };
    const { members, text } = await collect({ programs: { dmesg: { stdout: "kernel\n" } }, files });
    expect([...members.keys()].filter((name) => name !== "collection-notes")).toEqual([
      "dmesg",
      "var/log/messages",
      "var/log/apt/history.log",
    ]);
    expect(text("dmesg")).toBe("kernel\n");
    expect(text("var/log/apt/history.log")).toBe("second\n");
  });

  test("a directory that cannot be read is noted, and the others are taken", async () => {
    const system = recordedSystem({
      programs: { dmesg: { stdout: "kernel\n" } },
      files: { "/var/log/messages": "first\n", "/var/log/bad/x": "second\n" },
    });
    const list = system.files.list.bind(system.files);
    system.files.list = async (path) => {
      if (path === "/var/log/bad") throw new FileError("listing", path, "EIO");
      return list(path);
    };
    const members = await unpack(await collectSystemLogs(system, options()));
    expect(members.get("var/log/messages")?.text).toBe("first\n");
    expect(members.get("collection-notes")?.text).toContain("var/log/bad: left out, listing /var/log/bad: ");
  });

  test("with a journal /var/log is not taken, but what is asked for by path is, and so is given text", async () => {
    const files = { "/var/log/messages": "x", "/run/agent.log": "agent\n", "/opt/logs/a/b": "vendor\n" };
    const { members, text } = await collect(
      { programs: JOURNAL, files },
      {
        findMore: async () => ({
          files: ["/run/agent.log", "/opt/logs", "/missing"],
          texts: { "udev/sda": "{}", "../../etc/passwd": "no way out" },
          notes: ["hardware managers: left out, it is broken"],
        }),
        journalLines: 10_000,
      },
    );
    expect(members.has("var/log/messages")).toBe(false);
    expect(text("run/agent.log")).toBe("agent\n");
    expect(text("opt/logs/a/b")).toBe("vendor\n");
    expect(text("udev/sda")).toBe("{}");
    expect(text("etc/passwd")).toBe("no way out");
    expect(text("collection-notes")).toEndWith("hardware managers: left out, it is broken\n");
  });

  test("a journal that cannot be read fails the collection", async () => {
    const programs = { ...JOURNAL, journalctl: { exitCode: 1, stderr: "No journal files were opened\n" } };
    const system = recordedSystem({ programs });
    expect(await rejection(collectSystemLogs(system, options()))).toMatchObject({
      type: "CommandExecutionError",
      details: expect.stringContaining('output of the command "journalctl --full --no-pager -b -n 50000"'),
    });
  });
});

describe("secrets", () => {
  test("are masked in programs' output, in files and in given text; binary files stay as they are", async () => {
    const binary = new Uint8Array([1, 0, 255, ...new TextEncoder().encode("agent_token=kept")]);
    const { members } = await collect(
      {
        programs: { dmesg: { stdout: "Kernel command line: ipa-agent-token=S3CRET quiet\n" } },
        files: { "/var/log/a": "GET /v1/commands/?agent_token=S3CRET", "/var/log/wtmp": binary },
      },
      { findMore: async () => ({ texts: { vendor: '{"password": "S3CRET"}' }, files: [], notes: [] }) },
    );
    expect([...members.values()].map(({ text }) => text).join()).not.toContain("S3CRET");
    expect(members.get("dmesg")?.text).toBe("Kernel command line: ipa-agent-token=****** quiet\n");
    expect(members.get("var/log/wtmp")?.header.size).toBe(binary.length);
    expect(members.get("var/log/wtmp")?.text).toEndWith("agent_token=kept");
  });

  test("are not left over where the output of a program was cut in the middle of a line", async () => {
    // What the runner keeps of longer output: exactly as many bytes as it was told.
    const ps = (_: readonly string[], { maxOutput = 0 }: RunOptions) => ({
      stdout: `S3CRET --debug\n${"x".repeat(maxOutput)}`.slice(0, maxOutput),
    });
    const { text } = await collect({ programs: { ...JOURNAL, ps } });
    expect(text("ps")).toMatch(/^x+$/);
  });
});

describe("limits", () => {
  test("too many files are not all taken", async () => {
    const files = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`/var/log/d${n}/f`, "x"]));
    for (let n = 0; n < 1100; n++) Object.assign(files, { [`/var/log/d5/f${n}`]: "x" });
    const { members, text } = await collect({ files });
    expect(members.size).toBeLessThan(1300);
    expect(text("collection-notes")).toContain("there are too many files");
  });

  test("an aborted collection ends with the reason of the abort", async () => {
    const abort = new AbortController();
    abort.abort(new Error("the agent is shutting down"));
    expect(await rejection(collectSystemLogs(recordedSystem(), { signal: abort.signal }))).toBe(
      abort.signal.reason,
    );
  });
});

// contract 10.56
test("this machine: an archive that tar takes, in which the real tools have their say", async () => {
  const log = createLogger("test", "ERROR", () => {});
  const system: System = {
    ...recordedSystem(),
    run: createRun(realClock, log),
    files: realFiles,
    clock: realClock,
  };
  const archive = Buffer.from(await collectSystemLogs(system, options()), "base64");
  const listed = await system.run(["sh", "-c", "base64 -d | tar tzvf -"], {
    input: archive.toString("base64"),
  });
  for (const name of ["ps", "df", "ip_addr", "lsblk", "mount"])
    expect(listed.stdout).toMatch(new RegExp(`^-rw-r--r-- 0/0 +[1-9]\\d* .* ${name}$`, "m"));
  expect((await unpack(archive.toString("base64"))).get("ip_addr")?.text).toContain("LOOPBACK");
}, 60_000);
