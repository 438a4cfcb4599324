// The journal and syslog over real sockets, which the test listens on.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { journalDatagram, journalSink } from "../../src/system/journal.ts";
import type { LogRecord } from "../../src/system/log.ts";
import { facilityNumber, syslogSink } from "../../src/system/syslog.ts";
import { receiveUnixDatagrams } from "../support/unix-datagrams.ts";

const identity = { program: "ironic-python-agent", process: 77, facility: "LOG_USER" };
const record: LogRecord = {
  time: new Date(2026, 0, 31, 12, 5, 9, 42).getTime() / 1000,
  level: "WARNING",
  logger: "ironic_agent.heartbeat",
  message: "late",
};
const never = () => {
  throw new Error("was not sent");
};

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(`${tmpdir()}/journal-`);
});
afterEach(() => rm(directory, { recursive: true }));

/** Reads a datagram as journald does: a line with =, or a name, a length and that many bytes. */
function fields(datagram: Uint8Array): Record<string, string> {
  const bytes = Buffer.from(datagram);
  const found: Record<string, string> = {};
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0x0a, at);
    const line = bytes.toString("utf8", at, end);
    const equals = line.indexOf("=");
    if (equals >= 0) {
      found[line.slice(0, equals)] = line.slice(equals + 1);
      at = end + 1;
      continue;
    }
    const length = Number(bytes.readBigUInt64LE(end + 1));
    found[line] = bytes.toString("utf8", end + 9, end + 9 + length);
    expect(bytes[end + 9 + length]).toBe(0x0a);
    at = end + 10 + length;
  }
  return found;
}

describe("the journal", () => {
  test("is told the place in the code by its own names", () => {
    const place = { function: "beat", file: "src/ironic/heartbeat.ts", line: 12 };
    expect(fields(journalDatagram({ ...record, place }, identity))).toMatchObject({
      CODE_FILE: "src/ironic/heartbeat.ts",
      CODE_LINE: "12",
      CODE_FUNC: "beat",
    });
  });

  test("gets a record with its fields", () => {
    using journal = receiveUnixDatagrams(`${directory}/socket`);
    journalSink(identity, never, `${directory}/socket`)(record);
    expect(journal.next()?.length).toBe(0);
    expect(fields(journal.next()!)).toEqual({
      PRIORITY: "4",
      SYSLOG_IDENTIFIER: "ironic-python-agent",
      SYSLOG_FACILITY: "1",
      SYSLOG_PID: "77",
      LOGGER_NAME: "ironic_agent.heartbeat",
      LOGGER_LEVEL: "WARNING",
      PROCESS_NAME: "ironic-python-agent",
      MESSAGE: "late",
    });
  });

  test("any message arrives whole, line ends and all", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (message) => {
        expect(fields(journalDatagram({ ...record, message }, identity)).MESSAGE).toBe(message);
      }),
    );
  });

  test("a message that fits into no datagram is cut, not lost", () => {
    using journal = receiveUnixDatagrams(`${directory}/socket`);
    const sink = journalSink(identity, never, `${directory}/socket`);
    sink({ ...record, message: "x".repeat(10_000_000) });
    journal.next();
    expect(fields(journal.next()!).MESSAGE?.length).toBe(60_000);
  });

  test("no journal is an error that names it; one that goes away gives the record back", () => {
    const path = `${directory}/socket`;
    expect(() => journalSink(identity, never, path)).toThrow(
      `use_journal: cannot log to the journal at ${path}: No such file or directory`,
    );
    const lost: LogRecord[] = [];
    const journal = receiveUnixDatagrams(path);
    const sink = journalSink(identity, (failed) => lost.push(failed), path);
    journal[Symbol.dispose]();
    sink(record);
    expect(lost).toEqual([record]);
  });
});

describe("syslog", () => {
  test("gets each line with facility, severity, time and program", () => {
    using syslog = receiveUnixDatagrams(`${directory}/log`);
    const facility = { ...identity, facility: "local0" };
    syslogSink(facility, ({ message }) => `${message}\nmore`, never, `${directory}/log`)(record);
    syslog.next();
    const text = () => new TextDecoder().decode(syslog.next()!);
    expect(text()).toBe("<132>Jan 31 12:05:09 ironic-python-agent[77]: late");
    expect(text()).toBe("<132>Jan 31 12:05:09 ironic-python-agent[77]: more");
    expect(syslog.next()).toBeNull();
  });

  test("facilities go by both their names", () => {
    expect(["LOG_USER", "user", "LOG_LOCAL7", "LOG_NONSENSE"].map(facilityNumber)).toEqual([1, 1, 23, -1]);
  });
});
