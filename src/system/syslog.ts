// Records for syslog, one datagram per line, in the form that every syslog on Linux reads from its local socket (RFC 3164
// without the host). Facilities: control-plane specification 2.7.

import type { LogLevel, LogRecord } from "./log.ts";
import { formatTime } from "./log-time.ts";
import { unixDatagramSender } from "./unix-datagram.ts";

export const SYSLOG_SOCKET = "/dev/log";

/** Bytes of a line: what syslogs take in any case. */
const LONGEST_LINE = 8192;

/** Numbers of <syslog.h>. */
const FACILITIES: readonly string[] = [
  "kern",
  "user",
  "mail",
  "daemon",
  "auth",
  "syslog",
  "lpr",
  "news",
].concat(
  ["uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2"],
  ["local3", "local4", "local5", "local6", "local7"],
);

export const SYSLOG_SEVERITY: Readonly<Record<LogLevel, number>> = {
  DEBUG: 7,
  INFO: 6,
  WARNING: 4,
  ERROR: 3,
};

/** Number of a facility, written as `LOG_USER` or `user`; -1 if there is none of that name. */
export function facilityNumber(name: string): number {
  return FACILITIES.indexOf(name.toLowerCase().replace(/^log_/, ""));
}

export type SyslogIdentity = {
  readonly program: string;
  readonly process: number;
  readonly facility: string;
};

/** The datagrams of a record whose text is `text`. */
export function syslogLines(record: LogRecord, text: string, identity: SyslogIdentity): string[] {
  const priority = facilityNumber(identity.facility) * 8 + SYSLOG_SEVERITY[record.level];
  const time = formatTime("%b %e %H:%M:%S", new Date(record.time * 1000));
  const head = `<${priority}>${time} ${identity.program}[${identity.process}]: `;
  return text.split("\n").map((line) => head + line);
}

/** Gives records to syslog; `failed` gets those it did not take. @throws Error when there is no syslog. */
export function syslogSink(
  identity: SyslogIdentity,
  format: (record: LogRecord) => string,
  failed: (record: LogRecord) => void,
  path = SYSLOG_SOCKET,
): (record: LogRecord) => void {
  const sender = unixDatagramSender(path);
  const reason = sender.send(new Uint8Array());
  if (reason !== null) throw new Error(`use_syslog: cannot log to syslog at ${path}: ${reason}`);
  return (record) => {
    for (const line of syslogLines(record, format(record), identity))
      if (sender.send(Buffer.from(line).subarray(0, LONGEST_LINE)) !== null) return failed(record);
  };
}
