// Where in the program a record was written: what the reference appends to DEBUG lines, and what developers ask for first. Found on
// the stack, so only while debugging; the executable carries a source map for it.

export type LogPlace = {
  readonly function: string;
  /** Below `src/` for the agent's own code, as it is for a plug-in's. */
  readonly file: string;
  readonly line: number;
};

const FRAME = /^\s+at (?:(?:async |new )?(\S[^(]*) \()?(.+?):(\d+)(?::\d+)?\)?$/;

/** The caller of `method`; null if the stack does not tell. */
export function callerOf(method: (...args: never[]) => unknown): LogPlace | null {
  const holder: { stack?: string } = {};
  // The runtime writes a stack down frame by frame, looking each up in the source map; one is enough here.
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 1;
  try {
    Error.captureStackTrace(holder, method);
  } finally {
    Error.stackTraceLimit = limit;
  }
  return parseFrame(holder.stack?.split("\n")[1] ?? "");
}

/** One line of a stack, e.g. `    at async run (../src/agent.ts:120:5)`. */
export function parseFrame(frame: string): LogPlace | null {
  const [, name = "<anonymous>", file, line] = FRAME.exec(frame) ?? [];
  if (file === undefined) return null;
  return { function: name, file: file.replace(/^.*\/(?=(?:src|node_modules)\/)/, ""), line: Number(line) };
}
