import { expect, test } from "bun:test";
import { withTimeLimit } from "../../../src/hardware/plugins/time-limit.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { rejection } from "../../support/rejection.ts";

function limited(
  work: (signal: AbortSignal) => Promise<unknown>,
  seconds: number | null = 10,
  signal?: AbortSignal,
) {
  const clock = new ManualClock();
  let killed = 0;
  const ended = withTimeLimit(
    {
      clock,
      seconds,
      signal,
      grace: 2,
      kill: () => {
        killed += 1;
      },
      timeoutError: () => new Error("too late"),
    },
    work,
  );
  return { clock, ended, killed: () => killed };
}

test("work that ends in time is not touched", async () => {
  const { ended, killed, clock } = limited(async () => "done");
  expect(await ended).toBe("done");
  await clock.advance(100);
  expect(killed()).toBe(0);
});

test("work that listens ends by itself, and the time limit is the reason", async () => {
  const { clock, ended, killed } = limited(
    (signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("stopped")))),
  );
  const error = rejection(ended);
  await clock.advance(10);
  expect(String(await error)).toContain("too late");
  await clock.advance(100);
  expect(killed()).toBe(0);
});

test("work that does not listen is ended by force after the grace", async () => {
  const { clock, ended, killed } = limited(() => new Promise(() => {}));
  const error = rejection(ended);
  await clock.advance(11.9);
  expect(killed()).toBe(0);
  await clock.advance(0.2);
  expect(killed()).toBe(1);
  expect(String(await error)).toContain("too late");
});

test("the caller's signal does the same, with its own reason; what the work says of it counts", async () => {
  const stop = new AbortController();
  const deaf = limited(() => new Promise(() => {}), null, stop.signal);
  const polite = limited(
    (signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve("tidied up"))),
    null,
    stop.signal,
  );
  const error = rejection(deaf.ended);
  stop.abort(new Error("told to stop"));
  expect(await polite.ended).toBe("tidied up");
  await deaf.clock.advance(3);
  expect(String(await error)).toContain("told to stop");
  expect(deaf.killed()).toBe(1);
});
