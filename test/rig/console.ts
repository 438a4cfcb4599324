// The serial console of a machine as QEMU writes it to a file: read as it grows, cut into lines, control sequences
// removed, so that a pattern can be waited for and the last lines can be quoted.

import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";
import { lastLines } from "./programs.ts";

const CHUNK = 64 * 1024;
/** Nothing that is waited for is longer; a line that never ends must not grow in memory. */
const LONGEST_LINE = 16 * 1024;

/** Removes what a terminal would not show as text (colours, cursor movement, carriage returns); keeps tabs and newlines. */
export function plainText(text: string): string {
  return stripVTControlCharacters(text).replace(/[^\P{Cc}\t\n]/gu, "");
}

/** Reads a growing file line by line from its beginning. */
export class ConsoleReader {
  readonly #file: string;
  readonly #decoder = new TextDecoder();
  #offset = 0;
  #partial = "";

  constructor(file: string) {
    this.#file = file;
  }

  /** Lines that were completed since the last call, and the unfinished last one (a prompt) each time it has grown. */
  *newLines(): Generator<string> {
    for (const chunk of readFrom(this.#file, this.#offset)) {
      this.#offset += chunk.length;
      const lines = (this.#partial + this.#decoder.decode(chunk, { stream: true })).split("\n");
      this.#partial = (lines.pop() ?? "").slice(-LONGEST_LINE);
      for (const line of lines) yield plainText(line);
      if (this.#partial !== "") yield plainText(this.#partial);
    }
  }
}

/** The last lines that are not empty, control characters removed; empty when there is no such file. */
export function consoleTail(file: string, lines: number): string {
  if (!existsSync(file)) return "";
  const from = Math.max(0, statSync(file).size - CHUNK);
  const decoder = new TextDecoder();
  let text = "";
  for (const chunk of readFrom(file, from)) text += decoder.decode(chunk, { stream: true });
  return lastLines(plainText(text), lines);
}

function* readFrom(file: string, from: number): Generator<Uint8Array> {
  if (!existsSync(file)) return;
  const descriptor = openSync(file, "r");
  try {
    const buffer = new Uint8Array(CHUNK);
    for (let offset = from; ; ) {
      const length = readSync(descriptor, buffer, 0, CHUNK, offset);
      if (length === 0) return;
      offset += length;
      yield buffer.subarray(0, length);
    }
  } finally {
    closeSync(descriptor);
  }
}
