// What an operator wants to see of a machine whose deployment failed, in one tar.gz. Every program runs at the same time under a
// limit, because a hanging disk is a likely reason for the question and the conductor waits a minute for the answer.
// Source of the members: control-plane specification 9.2.

import { CommandExecutionError, errorText } from "../errors.ts";
import type { System } from "../system/system.ts";
import { ARCHIVE_LIMITS, LogArchive, wholeLines } from "./log-archive.ts";

export type SystemLogsOptions = {
  /** Latest lines of the journal to take; by default as many as fit. */
  readonly journalLines?: number;
  /** What programs have just printed, by the name of their member: these are not run again. */
  readonly outputs?: Readonly<Record<string, string>>;
  /** Finds what else to take, while the programs run. */
  readonly findMore?: () => Promise<MoreLogs>;
  readonly signal: AbortSignal;
};

export type MoreLogs = {
  /** Absolute paths of files and directories; missing ones are left out. */
  readonly files: readonly string[];
  /** Text by the name of its member. */
  readonly texts: Readonly<Record<string, string>>;
  /** What the reader should know, e.g. what could not be asked. */
  readonly notes: readonly string[];
};

/** Members that are the output of a program, by name. */
const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  dmesg: ["dmesg"],
  // Not the reference's `au`: without a terminal, as most of a ramdisk's, a process is not shown, and with none ps fails.
  ps: ["ps", "aux"],
  df: ["df", "-a"],
  iptables: ["iptables", "-L"],
  ip_addr: ["ip", "addr"],
  lshw: ["lshw", "-quiet", "-json"],
  lsblk: ["lsblk", "--all", "-oKNAME,MODEL,SIZE,ROTA,TYPE,UUID,PARTUUID,SERIAL,WWN,LOG-SEC,PHY-SEC,TRAN"],
  "lsblk-full": ["lsblk", "--all", "--bytes", "--output-all", "--pairs"],
  multipath: ["multipath", "-ll"],
  efibootmgr: ["efibootmgr", "-v"],
  mount: ["mount"],
  parted: ["parted", "-s", "-l"],
};

/** Files of the kernel, by the name of their member. */
const KERNEL_FILES: Readonly<Record<string, string>> = { mdstat: "/proc/mdstat" };
const LOG_DIRECTORY = "/var/log";
/** With lines of 160 characters these are as much as a member may be. */
const JOURNAL_LINES = 50_000;
/** Seconds and bytes for one program; lshw takes its time on large machines. */
const PROGRAM_TIMEOUT = 35;
const PROGRAM_OUTPUT = 2 * 1024 * 1024;
const NOTHING_MORE: MoreLogs = { files: [], texts: {}, notes: [] };
/** Files of one directory tree, and how deep it is looked into. */
const MAX_FILES = 1000;
const MAX_DEPTH = 8;

/**
 * The archive in base64. A program that fails or is missing is left out; the reason is in the member `collection-notes`.
 * @throws CommandExecutionError when there is a journal that cannot be read
 */
export async function collectSystemLogs(system: System, options: SystemLogsOptions): Promise<string> {
  const archive = new LogArchive(system);
  const { signal, outputs = {} } = options;
  const programs = Object.entries(PROGRAMS).map(async ([name, argv]): Promise<readonly [string, Output]> => {
    const text = outputs[name];
    return [name, text === undefined ? await output(system, argv, signal) : { text, reason: null }];
  });
  const reading = readJournal(system, options);
  const finding = options.findMore?.() ?? Promise.resolve(NOTHING_MORE);
  // Whatever becomes of one of them, none is still running when this ends.
  await Promise.allSettled([reading, finding, ...programs]);
  const [journal, more] = [await reading, await finding];
  if (journal !== null) await archive.addText("journal", journal);
  for (const [name, { text, reason }] of await Promise.all(programs)) {
    if (text !== null) await archive.addText(name, text);
    else archive.note(`${name}: left out, ${reason}`);
  }
  for (const [name, text] of Object.entries(more.texts)) await archive.addText(memberName(name), text);
  await addFiles(system, archive, journal === null, more.files);
  for (const note of more.notes) archive.note(note);
  signal.throwIfAborted();
  return Buffer.from(await archive.finish()).toString("base64");
}

/** Null without journalctl: then the log is in files. */
async function readJournal(
  system: System,
  { journalLines = JOURNAL_LINES, signal }: SystemLogsOptions,
): Promise<string | null> {
  if ((await output(system, ["journalctl", "--version"], signal)).text === null) return null;
  const argv = ["journalctl", "--full", "--no-pager", "-b", "-n", String(journalLines)];
  const { text, reason } = await output(system, argv, signal, ARCHIVE_LIMITS.member);
  if (text !== null) return text;
  throw new CommandExecutionError(
    `Failed to get the output of the command "${argv.join(" ")}". Error: ${reason}`,
  );
}

type Output =
  | { readonly text: string; readonly reason: null }
  | { readonly text: null; readonly reason: string };

async function output(
  system: System,
  argv: readonly string[],
  signal: AbortSignal,
  maxOutput = PROGRAM_OUTPUT,
): Promise<Output> {
  try {
    const { stdout } = await system.run(argv, { timeout: PROGRAM_TIMEOUT, maxOutput, signal });
    // Of longer output the end was kept.
    const cut = Buffer.byteLength(stdout) >= maxOutput;
    return { text: cut ? wholeLines(stdout) : stdout, reason: null };
  } catch (error) {
    signal.throwIfAborted();
    return { text: null, reason: errorText(error) };
  }
}

async function addFiles(
  system: System,
  archive: LogArchive,
  withLogDirectory: boolean,
  more: readonly string[],
): Promise<void> {
  for (const [name, path] of Object.entries(KERNEL_FILES)) await addKernelFile(system, archive, name, path);
  for (const root of [...(withLogDirectory ? [LOG_DIRECTORY] : []), ...more]) {
    for (const path of await regularFiles(system, archive, root)) {
      try {
        await archive.addFile(memberName(path), path);
      } catch (error) {
        archive.note(`${memberName(path)}: left out, ${errorText(error)}`);
      }
    }
  }
}

/** Not as a file: the kernel's say that their size is 0. */
async function addKernelFile(system: System, archive: LogArchive, name: string, path: string): Promise<void> {
  try {
    await archive.addText(name, await system.files.readText(path));
  } catch (error) {
    archive.note(`${name}: left out, ${errorText(error)}`);
  }
}

/** `root` if it is a file, or all files below it. Links are not followed: they may lead anywhere, and in circles. */
async function regularFiles(system: System, archive: LogArchive, root: string): Promise<string[]> {
  const found: string[] = [];
  const waiting = [{ path: root, depth: 0 }];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const { path, depth } = next;
    const kind = await system.files.kind(path);
    if (kind === "file") found.push(path);
    if (kind !== "directory") continue;
    if (depth >= MAX_DEPTH || found.length + waiting.length > MAX_FILES) {
      archive.note(`${memberName(path)}: left out, there are too many files`);
      continue;
    }
    try {
      for (const name of await system.files.list(path))
        waiting.push({ path: `${path === "/" ? "" : path}/${name}`, depth: depth + 1 });
    } catch (error) {
      archive.note(`${memberName(path)}: left out, ${errorText(error)}`);
    }
  }
  return found;
}

/** Relative, and inside the directory that the archive is unpacked in. */
function memberName(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== "." && part !== "..");
  return parts.length === 0 ? "unnamed" : parts.join("/");
}
