import { expect, test } from "bun:test";
import { createLogger, type LogRecord } from "../../src/system/log.ts";
import { LogTap } from "../../src/system/log-tap.ts";

test("each of two pieces of work at the same time is watched by its own listener, through timers and callbacks", async () => {
  const all: LogRecord[] = [];
  const tap = new LogTap();
  const log = createLogger(
    "agent",
    "DEBUG",
    tap.around((record) => all.push(record)),
  );
  const watch = async (name: string) => {
    const lines: string[] = [];
    await tap.during(
      (record) => lines.push(record.message),
      async () => {
        for (let n = 0; n < 3; n++) {
          log.named(name).info(`${name} ${n}`);
          await new Promise((resolve) => setTimeout(resolve, 1));
          await new Promise<void>((resolve) => queueMicrotask(resolve));
        }
      },
    );
    return lines;
  };
  const [first, second] = await Promise.all([watch("a"), watch("b"), Promise.resolve(log.info("nobody's"))]);
  expect(first).toEqual(["a 0", "a 1", "a 2"]);
  expect(second).toEqual(["b 0", "b 1", "b 2"]);
  expect(all).toHaveLength(7);
});
