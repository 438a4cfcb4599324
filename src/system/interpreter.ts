// Why the kernel did not start a script that is there and executable: its first line names an interpreter that is not.

import { accessSync, closeSync, constants, openSync, readSync } from "node:fs";

/** Bytes the kernel reads of a script to find its interpreter. */
const HEAD = 256;

/** The interpreter of the script at `path`, if the script can be read, has one, and that cannot be executed; else null. */
export function missingInterpreter(path: string): string | null {
  const [, interpreter] = /^#![ \t]*([^ \t\n]+)/.exec(head(path)) ?? [];
  if (interpreter === undefined) return null;
  try {
    accessSync(interpreter, constants.X_OK);
    return null;
  } catch {
    return interpreter; // which is the answer
  }
}

function head(path: string): string {
  try {
    const file = openSync(path, "r");
    try {
      const bytes = Buffer.alloc(HEAD);
      return bytes.toString("latin1", 0, readSync(file, bytes, 0, HEAD, 0));
    } finally {
      closeSync(file);
    }
  } catch {
    return ""; // it may be executed but not read: nothing to add to what the kernel said
  }
}
