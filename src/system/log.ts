// The log: levels, one line per record, every record redacted and printable before any sink sees it.
// The human format is the reference's (oslo.log), because operators grep for it.

import { errorText } from "../errors.ts";
import { callerOf, type LogPlace } from "./log-place.ts";
import { formatTime } from "./log-time.ts";
import { printable } from "./printable.ts";
import { redactText, redactValue } from "./redact.ts";

export type LogLevel = "DEBUG" | "INFO" | "WARNING" | "ERROR";

export interface Logger {
  debug(message: string, context?: unknown): void;
  info(message: string, context?: unknown): void;
  warning(message: string, context?: unknown): void;
  /** `context` may be the error: its stack goes to the log at DEBUG, its text always. */
  error(message: string, context?: unknown): void;
  /** A logger whose records carry `name` (dotted, e.g. "ironic_agent.heartbeat"). */
  named(name: string): Logger;
}

export type LogRecord = {
  /** Seconds since 1970. */
  readonly time: number;
  readonly level: LogLevel;
  readonly logger: string;
  readonly message: string;
  /** Only while debugging. */
  readonly place?: LogPlace | null;
};

/** Takes finished, redacted records. */
export type LogSink = (record: LogRecord) => void;

/** Python's numbers of the levels. */
export const SEVERITY: Readonly<Record<LogLevel, number>> = { DEBUG: 10, INFO: 20, WARNING: 30, ERROR: 40 };

/** What the reference puts in front of a line, beside the milliseconds. */
export const DEFAULT_DATE_FORMAT = "%Y-%m-%d %H:%M:%S";

/** The level from which records of a logger count; asked for every record, so it may change. */
export type Threshold = LogLevel | ((logger: string) => LogLevel);

/** Builds a logger that drops records below `threshold` and redacts the others before they reach `sink`. */
export function createLogger(name: string, threshold: Threshold, sink: LogSink): Logger {
  const at = (level: LogLevel) => {
    const method = (message: string, context?: unknown): void => {
      const least = typeof threshold === "string" ? threshold : threshold(name);
      if (SEVERITY[level] < SEVERITY[least]) return;
      const place = least === "DEBUG" ? { place: callerOf(method) } : {};
      const record = (text: string, as: LogLevel) =>
        sink({
          time: Date.now() / 1000,
          level: as,
          logger: name,
          message: redactText(printable(text)),
          ...place,
        });
      record(context === undefined ? message : `${message}: ${describe(context)}`, level);
      if (context instanceof Error && context.stack !== undefined && least === "DEBUG")
        record(context.stack, "DEBUG");
    };
    return method;
  };
  return {
    debug: at("DEBUG"),
    info: at("INFO"),
    warning: at("WARNING"),
    error: at("ERROR"),
    named: (child) => createLogger(child, threshold, sink),
  };
}

function describe(context: unknown): string {
  if (context instanceof Error) return errorText(context);
  return typeof context === "string" ? context : (JSON.stringify(redactValue(context)) ?? String(context));
}

/**
 * The reference's line: `2026-01-31 12:00:00.123 PID LEVEL LOGGER [-] TEXT`, local time. Lines of DEBUG end in
 * ` FUNCTION FILE:LINE`.
 */
export function humanLine(record: LogRecord, pid: number, dateFormat = DEFAULT_DATE_FORMAT): string {
  const date = new Date(record.time * 1000);
  const time = `${formatTime(dateFormat, date)}.${milliseconds(date)}`;
  const prefix = `${time} ${pid} ${record.level} ${record.logger}`;
  const { level, place } = record;
  const suffix = level === "DEBUG" && place ? ` ${place.function} ${place.file}:${place.line}` : "";
  const [first = "", ...more] = `${record.message}${suffix}`.split("\n");
  return [`${prefix} [-] ${first}`, ...more.map((line) => `${prefix} ${line}`)].join("\n");
}

/**
 * One JSON object, with the members of the reference's JSON formatter, because readers are written for them. Null where
 * there is nothing to tell: threads mean nothing here, and the place in the code is known only while debugging.
 */
export function jsonLine(
  record: LogRecord,
  pid: number,
  hostname: string,
  dateFormat = DEFAULT_DATE_FORMAT,
): string {
  const date = new Date(record.time * 1000);
  const { place } = record;
  const filename = place?.file.replace(/^.*\//, "") ?? null;
  return JSON.stringify({
    message: record.message,
    asctime: formatTime(dateFormat, date),
    name: record.logger,
    msg: record.message,
    args: [],
    levelname: record.level,
    levelno: SEVERITY[record.level],
    pathname: place?.file ?? null,
    filename,
    module: filename?.replace(/\.[^.]*$/, "") ?? null,
    lineno: place?.line ?? null,
    funcname: place?.function ?? null,
    created: record.time,
    msecs: date.getMilliseconds(),
    relative_created: null,
    thread: null,
    thread_name: null,
    process_name: null,
    process: pid,
    traceback: null,
    hostname,
    error_summary: "",
    context: {},
    extra: {},
  });
}

function milliseconds(date: Date): string {
  return String(date.getMilliseconds()).padStart(3, "0");
}
