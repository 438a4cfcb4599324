// What a recorded machine is made of, and how a unit test loads one. The recordings lie in
// test/fixtures/<machine>/; see the README there for how they were made.

import { dirname, join } from "node:path";
import type { RecordedFile, RecordedProgram, Recording } from "../../support/recorded-system.ts";

/** A file as JSON: text, bytes in base64, a link's text, a device node's number, or a directory. */
export type StoredFile =
  | string
  | { base64: string }
  | { link: string }
  | { device: { major: number; minor: number }; kind: "block" | "character" }
  | { directory: true };

export type StoredProgram = { exitCode: number; stdout: string; stderr: string };

export type StoredMachine = {
  hostname: string;
  architecture: string;
  /** By command line, words joined by blanks. A program that is not installed is not in it. */
  programs: Record<string, StoredProgram>;
  files: Record<string, StoredFile>;
  /** By interface; absent where no driver told any. */
  linkModes?: Record<string, number[]>;
};

const FIXTURES = join(dirname(import.meta.dir), "../fixtures");

/** A recorded machine, ready for `recordedSystem`. */
export async function loadMachine(name: string): Promise<Recording> {
  const stored: StoredMachine = await Bun.file(join(FIXTURES, name, "machine.json")).json();
  const files: Record<string, RecordedFile> = {};
  for (const [path, file] of Object.entries(stored.files)) {
    files[path] = typeof file === "object" && "base64" in file ? Buffer.from(file.base64, "base64") : file;
  }
  const programs: Record<string, RecordedProgram> = { ...stored.programs };
  const { hostname, architecture, linkModes } = stored;
  return { hostname, architecture, programs, files, ...(linkModes === undefined ? {} : { linkModes }) };
}
