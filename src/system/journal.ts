// Records for the journal, in its own protocol, so that level, logger and process are fields that `journalctl` can search.
// Protocol: systemd's "Native Journal Protocol". Fields: control-plane specification 2.7.

import type { LogRecord } from "./log.ts";
import { facilityNumber, SYSLOG_SEVERITY } from "./syslog.ts";
import { unixDatagramSender } from "./unix-datagram.ts";

export const JOURNAL_SOCKET = "/run/systemd/journal/socket";

/** Bytes of a message: with its other fields a record has to fit into one datagram. */
const LONGEST_MESSAGE = 60_000;

export type JournalIdentity = {
  readonly program: string;
  readonly process: number;
  /** As in the option syslog_log_facility. */
  readonly facility: string;
};

/** One datagram. */
export function journalDatagram(record: LogRecord, identity: JournalIdentity): Uint8Array {
  const fields: readonly (readonly [string, string])[] = [
    ["PRIORITY", String(SYSLOG_SEVERITY[record.level])],
    ["SYSLOG_IDENTIFIER", identity.program],
    ["SYSLOG_FACILITY", String(facilityNumber(identity.facility))],
    ["SYSLOG_PID", String(identity.process)],
    ["LOGGER_NAME", record.logger],
    ["LOGGER_LEVEL", record.level],
    ["PROCESS_NAME", identity.program],
    ...codeFields(record),
    ["MESSAGE", record.message],
  ];
  return Buffer.concat(fields.map(([name, value]) => field(name, value)));
}

/** The journal's own names for the place in the code. */
function codeFields({ place }: LogRecord): [string, string][] {
  if (!place) return [];
  return [
    ["CODE_FILE", place.file],
    ["CODE_LINE", String(place.line)],
    ["CODE_FUNC", place.function],
  ];
}

/** Gives records to the journal; `failed` gets those it did not take. @throws Error when there is no journal. */
export function journalSink(
  identity: JournalIdentity,
  failed: (record: LogRecord) => void,
  path = JOURNAL_SOCKET,
): (record: LogRecord) => void {
  const sender = unixDatagramSender(path);
  // An empty datagram is no record; it only asks whether somebody listens.
  const reason = sender.send(new Uint8Array());
  if (reason !== null) throw new Error(`use_journal: cannot log to the journal at ${path}: ${reason}`);
  return (record) => {
    if (sender.send(journalDatagram(record, identity)) !== null) failed(record);
  };
}

/** `NAME=value`, or with its length in front where the value has more than one line. */
function field(name: string, value: string): Buffer {
  const bytes = Buffer.from(value).subarray(0, LONGEST_MESSAGE);
  if (!bytes.includes(0x0a)) return Buffer.concat([Buffer.from(`${name}=`), bytes, Buffer.from("\n")]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, bytes, Buffer.from("\n")]);
}
