// The log file. It is opened for every record, so it may be moved away or deleted at any time (logrotate needs no signal),
// and can begin anew by itself when it is full.

import { appendFileSync, existsSync, renameSync, rmSync, statSync } from "node:fs";
import { errnoText } from "./errno.ts";
import { errnoName } from "./files.ts";

export type LogRotation = {
  /** Bytes of a full file. */
  readonly size: number;
  /** Full files to keep, as `name.1` (the newest), `name.2` … */
  readonly keep: number;
};

/**
 * Appends texts to `path`. What cannot be written goes to `failed`: a full disk must not turn a working command into a failed one.
 * @throws Error naming the file when it cannot be written to begin with.
 */
export function logFile(
  path: string,
  rotation: LogRotation | null,
  failed: (text: string) => void,
): (text: string) => void {
  try {
    appendFileSync(path, "");
  } catch (error) {
    const reason = `cannot write the log file ${path}: ${errnoText(errnoName(error))}`;
    throw new Error(reason, { cause: error });
  }
  return (text) => {
    try {
      if (rotation !== null && isFull(path, Buffer.byteLength(text), rotation.size))
        rotate(path, rotation.keep);
      appendFileSync(path, text);
    } catch {
      failed(text); // the caller knows the one place that is left to say it
    }
  };
}

function isFull(path: string, more: number, limit: number): boolean {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  return size > 0 && size + more > limit;
}

function rotate(path: string, keep: number): void {
  rmSync(`${path}.${keep}`, { force: true });
  for (let number = keep - 1; number >= 1; number--)
    if (existsSync(`${path}.${number}`)) renameSync(`${path}.${number}`, `${path}.${number + 1}`);
  renameSync(path, `${path}.1`);
}
