import { describe, expect, test } from "bun:test";
import { keepCertificateFresh } from "../../src/ironic/certificate-renewal.ts";
import type { TlsServerOptions } from "../../src/system/http-server.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { recordedSystem } from "../support/recorded-system.ts";

const HOUR = 3600;
const DAY = 24 * HOUR;

/** A clock whose wall time can be set. */
class SettableClock extends ManualClock {
  offset = 0;

  override now(): number {
    return super.now() + this.offset;
  }
}

function keeper(renew?: () => Promise<TlsServerOptions>) {
  const clock = new SettableClock();
  const system = recordedSystem();
  const stop = new AbortController();
  const served: { at: number; cert: string }[] = [];
  let made = 0;
  const ended = keepCertificateFresh(
    {
      clock,
      log: system.log,
      allowedClockSkew: HOUR,
      renew: renew ?? (async () => ({ cert: String(++made), key: "" })),
      serve: ({ cert }) => void served.push({ at: clock.monotonic() / DAY, cert }),
    },
    stop.signal,
  );
  return { clock, served, stop, ended, records: system.records };
}

describe("a certificate of 30 days", () => {
  test("is replaced after 15, and so are its successors, for months", async () => {
    const { clock, served } = keeper();
    await clock.advance(14.9 * DAY);
    expect(served).toEqual([]);
    await clock.advance(60 * DAY);
    expect(served.map(({ cert }) => cert)).toEqual(["1", "2", "3", "4"]);
    expect(served.map(({ at }) => Math.round(at))).toEqual([15, 30, 45, 60]);
  });

  test("that a clock set back has made one of the future is replaced within the hour", async () => {
    const { clock, served } = keeper();
    await clock.advance(DAY);
    clock.offset = -3 * DAY;
    await clock.advance(HOUR);
    expect(served).toHaveLength(1);
    await clock.advance(10 * DAY);
    expect(served).toHaveLength(1);
  });

  test("that a clock set far ahead has ended is replaced within the hour", async () => {
    const { clock, served } = keeper();
    clock.offset = 400 * DAY;
    await clock.advance(HOUR);
    expect(served).toHaveLength(1);
  });

  test("a renewal that fails is tried again, with a word in the log", async () => {
    let failures = 3;
    const { clock, served, records } = keeper(async () => {
      if (failures-- > 0) throw new Error("no entropy");
      return { cert: "at last", key: "" };
    });
    await clock.advance(15 * DAY + 1200);
    expect(served).toEqual([]);
    await clock.advance(1200);
    expect(served.map(({ cert }) => cert)).toEqual(["at last"]);
    const errors = records.filter(({ level }) => level === "ERROR");
    expect(errors).toHaveLength(3);
    expect(errors[0]?.message).toContain("no entropy");
  });

  test("is nobody's business any more when the listener has stopped", async () => {
    const { clock, served, stop, ended } = keeper();
    await clock.advance(DAY);
    stop.abort();
    await ended;
    await clock.advance(40 * DAY);
    expect(served).toEqual([]);
  });
});
