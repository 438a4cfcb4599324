// Where the log goes: standard output, or a file, or the journal, and syslog and standard error beside them.
// Rules: control-plane specification 2.7 (what switches what off is oslo.log's).

import { hostname } from "node:os";
import { journalSink } from "./journal.ts";
import {
  createLogger,
  DEFAULT_DATE_FORMAT,
  humanLine,
  jsonLine,
  type Logger,
  type LogLevel,
  type LogRecord,
  type LogSink,
} from "./log.ts";
import { type LogRotation, logFile } from "./log-file.ts";
import { syslogSink } from "./syslog.ts";

export type LogSettings = {
  /** Name of the root logger. */
  readonly name: string;
  /** What the journal and syslog know it by; default ironic-python-agent. */
  readonly program?: string;
  readonly debug: boolean;
  readonly json: boolean;
  /** Appended to, instead of `stream`; null = no file. */
  readonly file: string | null;
  /** Standard output for the agent; standard error for commands whose output is data. */
  readonly stream: "stdout" | "stderr";
  /** In front of lines, as strftime(3) has it; milliseconds follow. */
  readonly dateFormat?: string;
  /** Levels of single loggers and those below them (`a.b` is below `a`), the most exact name winning. */
  readonly levels?: ReadonlyMap<string, LogLevel>;
  readonly rotation?: LogRotation | null;
  /** Instead of `stream`. */
  readonly journal?: boolean;
  /** Beside everything else. */
  readonly syslog?: boolean;
  /** As in the option syslog_log_facility; default LOG_USER. */
  readonly facility?: string;
  /** Instead of standard output, beside a file or the journal too. */
  readonly useStderr?: boolean;
};

export type LogOutput = {
  readonly log: Logger;
  /** From now on. */
  readonly setDebug: (debug: boolean) => void;
};

/** Colours of the levels on a terminal, as escape sequences. */
const COLOUR: Readonly<Record<LogLevel, string>> = {
  DEBUG: "\x1b[32m",
  INFO: "\x1b[36m",
  WARNING: "\x1b[1;33m",
  ERROR: "\x1b[31m",
};

/**
 * `around` may put something in front of the sinks, to listen to what passes.
 * @throws Error naming the file or the service that cannot be written to.
 */
export function openLog(settings: LogSettings, around = (sink: LogSink): LogSink => sink): LogOutput {
  let debug = settings.debug;
  const sinks = openSinks(settings);
  const levelOf = (logger: string) => exactLevel(settings.levels, logger) ?? (debug ? "DEBUG" : "INFO");
  const all = around((record) => {
    for (const sink of sinks) sink(record);
  });
  return {
    log: createLogger(settings.name, levelOf, all),
    setDebug: (on) => {
      debug = on;
    },
  };
}

function exactLevel(levels: ReadonlyMap<string, LogLevel> | undefined, logger: string): LogLevel | null {
  if (levels === undefined || levels.size === 0) return null;
  for (let name = logger; name !== ""; name = name.slice(0, Math.max(0, name.lastIndexOf(".")))) {
    const level = levels.get(name);
    if (level !== undefined) return level;
  }
  return null;
}

function openSinks(settings: LogSettings): LogSink[] {
  const { file, journal = false, syslog = false, useStderr = false } = settings;
  const format = formatter(settings);
  const identity = {
    program: settings.program ?? "ironic-python-agent",
    process: process.pid,
    facility: settings.facility ?? "LOG_USER",
  };
  const lastResort = (record: LogRecord) => {
    process.stderr.write(`${format(record)}\n`);
  };
  const sinks: LogSink[] = [];
  if (file !== null) {
    const append = logFile(file, settings.rotation ?? null, (text) => process.stderr.write(text));
    sinks.push((record) => append(`${format(record)}\n`));
  }
  if (journal) sinks.push(journalSink(identity, lastResort));
  if (syslog) sinks.push(syslogSink(identity, format, lastResort));
  if (useStderr) sinks.push(console("stderr", settings, format));
  else if (file === null && !journal) sinks.push(console(settings.stream, settings, format));
  return sinks;
}

function formatter(settings: LogSettings): (record: LogRecord) => string {
  const dateFormat = settings.dateFormat ?? DEFAULT_DATE_FORMAT;
  const host = hostname();
  return settings.json
    ? (record) => jsonLine(record, process.pid, host, dateFormat)
    : (record) => humanLine(record, process.pid, dateFormat);
}

/** Coloured by level where a person sees it. */
function console(
  name: "stdout" | "stderr",
  { json }: LogSettings,
  format: (record: LogRecord) => string,
): LogSink {
  const stream = process[name];
  const colours = stream.isTTY && !json && process.env.NO_COLOR === undefined;
  return (record) => {
    const text = format(record);
    stream.write(colours ? `${COLOUR[record.level]}${text}\x1b[0m\n` : `${text}\n`);
  };
}
