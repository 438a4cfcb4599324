// The log: levels, one line per record, every record redacted before any sink sees it.
// The human format is the reference's (oslo.log), because operators grep for it.

import { errorText } from "../errors.ts";
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
};

/** Takes finished, redacted records. */
export type LogSink = (record: LogRecord) => void;

const SEVERITY: Record<LogLevel, number> = { DEBUG: 10, INFO: 20, WARNING: 30, ERROR: 40 };

/** Builds a logger that drops records below `threshold` and redacts the others before they reach `sink`. */
export function createLogger(name: string, threshold: LogLevel, sink: LogSink): Logger {
  const write = (level: LogLevel, message: string, context: unknown) => {
    if (SEVERITY[level] < SEVERITY[threshold]) return;
    const record = (text: string, at: LogLevel) =>
      sink({ time: Date.now() / 1000, level: at, logger: name, message: redactText(text) });
    record(context === undefined ? message : `${message}: ${describe(context)}`, level);
    if (context instanceof Error && context.stack !== undefined && threshold === "DEBUG")
      record(context.stack, "DEBUG");
  };
  return {
    debug: (message, context) => write("DEBUG", message, context),
    info: (message, context) => write("INFO", message, context),
    warning: (message, context) => write("WARNING", message, context),
    error: (message, context) => write("ERROR", message, context),
    named: (child) => createLogger(child, threshold, sink),
  };
}

function describe(context: unknown): string {
  if (context instanceof Error) return errorText(context);
  return typeof context === "string" ? context : (JSON.stringify(redactValue(context)) ?? String(context));
}

/** The reference's line: `2026-01-31 12:00:00.123 PID LEVEL LOGGER [-] TEXT`, local time. */
export function humanLine(record: LogRecord, pid: number): string {
  const date = new Date(record.time * 1000);
  const two = (n: number) => String(n).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const prefix = `${day} ${time}.${String(date.getMilliseconds()).padStart(3, "0")} ${pid} ${record.level} ${record.logger}`;
  const [first = "", ...more] = record.message.split("\n");
  return [`${prefix} [-] ${first}`, ...more.map((line) => `${prefix} ${line}`)].join("\n");
}

/** One JSON object, with the member names of the reference's JSON formatter that carry information here. */
export function jsonLine(record: LogRecord, pid: number, hostname: string): string {
  return JSON.stringify({
    message: record.message,
    asctime: new Date(record.time * 1000).toISOString(),
    name: record.logger,
    levelname: record.level,
    levelno: SEVERITY[record.level],
    created: record.time,
    process: pid,
    hostname,
  });
}
