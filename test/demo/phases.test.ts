// The display of phases: plain lines in a pipe, one live line on a terminal, and what is kept for the table.

import { expect, test } from "bun:test";
import { stripVTControlCharacters } from "node:util";
import { amount, Phases } from "./phases.ts";

class Recorder {
  text = "";
  readonly isTTY: boolean;
  readonly columns = 60;

  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }

  write(text: string): void {
    this.text += text;
  }
}

const WRITING = {
  phase: "writing",
  done: 50 * 1024 ** 2,
  total: 200 * 1024 ** 2,
  unit: "bytes",
  rate: 1024 ** 2,
};

test("in a pipe: begin, note and end are lines of their own; progress waits for its time", () => {
  const screen = new Recorder(false);
  const phases = new Phases(screen);
  phases.begin("write image");
  phases.progress(WRITING);
  phases.note("something happened");
  phases.end("all of it");
  expect(screen.text).toMatch(
    /^write image …\n {2}something happened\nwrite image: done in \d+\.\d s \(all of it\)\n$/,
  );
  expect(screen.text).not.toContain("\x1b");
});

test("on a terminal: one line, redrawn, never longer than the screen", () => {
  const screen = new Recorder(true);
  const phases = new Phases(screen);
  phases.begin("write image");
  phases.progress(WRITING);
  phases.note("something happened");
  phases.end();
  const lines = stripVTControlCharacters(screen.text).split(/[\r\n]/);
  expect(lines.some((line) => line.includes("[#####...............]"))).toBe(true);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(60);
  expect(screen.text).toEndWith(" s\n");
});

test("a phase that begins ends the one before; a failed one is not among the results", () => {
  const phases = new Phases(new Recorder(false));
  phases.begin("one");
  phases.begin("two");
  phases.end("detail");
  phases.begin("three");
  expect(phases.fail()).toBe("three");
  expect(phases.fail()).toBeNull();
  expect(phases.results.map(({ name, detail }) => [name, detail])).toEqual([
    ["one", ""],
    ["two", "detail"],
  ]);
});

test("amounts", () => {
  expect(amount(1024 ** 2 * 1.5, "bytes")).toBe("1.5 MiB");
  expect(amount(1024 ** 3, "bytes")).toBe("1024 MiB");
  expect(amount(3.4, "sectors")).toBe("3 sectors");
});
