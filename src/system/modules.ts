// Loads TypeScript and JavaScript files from disk into this process, with bare imports answered from inside the executable, so that
// they need neither a build step nor node_modules. Only a plug-in's own process does this (companion.ts): what a file
// does while it is loaded, and afterwards, then stays there.

import { pathToFileURL } from "node:url";

/** A file that could not be loaded. The message says why and, where it is known, at which line and column. */
export class ModuleLoadError extends Error {}

/** Answers `import … from "name"` in everything that is loaded from now on. */
export function provideModule(name: string, exports: Readonly<Record<string, unknown>>): void {
  Bun.plugin({
    name,
    setup(build) {
      build.module(name, () => ({ loader: "object", exports: { ...exports } }));
    },
  });
}

/** Runs the file and returns what it exports. @throws ModuleLoadError */
export async function loadModule(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return await import(pathToFileURL(path).href);
  } catch (error) {
    throw new ModuleLoadError(explain(error, path), { cause: error });
  }
}

function explain(error: unknown, path: string): string {
  // Several mistakes in one file come as a list; the first is the one to mend first.
  const first: unknown = error instanceof AggregateError ? (error.errors[0] ?? error) : error;
  if (!(first instanceof Error) && !isMessage(first)) return `it threw ${Bun.inspect(first)}`;
  const place = positionOf(first, path);
  const name = first instanceof Error && !isMessage(first) ? `${first.name}: ` : "";
  return `${place === null ? "" : `${place}: `}${name}${first.message}`;
}

/** The runtime's own objects for what its compiler and its resolver found. */
type CompilerMessage = {
  readonly message: string;
  readonly position: { readonly file: string; readonly line: number; readonly column: number } | null;
};

function isMessage(error: unknown): error is CompilerMessage {
  return typeof error === "object" && error !== null && "position" in error && "message" in error;
}

/** `line 3 column 7`, or with the file's name in front if it is another one that was imported. */
function positionOf(error: Error | CompilerMessage, path: string): string | null {
  const found = isMessage(error) ? error.position : positionInStack(error);
  if (found === null) return null;
  const place = `line ${found.line} column ${found.column}`;
  return found.file === path ? place : `${found.file} ${place}`;
}

/** The topmost line of the stack that is in a file on disk, not in the executable. */
function positionInStack(error: Error): CompilerMessage["position"] {
  for (const line of (error.stack ?? "").split("\n").slice(1)) {
    const match = /\(?(?:file:\/\/)?(\/(?!\$bunfs\/)[^():]+):(\d+):(\d+)\)?$/.exec(line.trim());
    if (match?.[1] !== undefined) return { file: match[1], line: Number(match[2]), column: Number(match[3]) };
  }
  return null;
}
