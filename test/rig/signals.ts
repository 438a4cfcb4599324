// How the programs of the rig are ended from outside: by the signals a terminal or a shell sends, with the exit code that it
// expects then.

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** The run was ended by a signal; `exitCode` is what a shell expects then. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  readonly exitCode: number;

  constructor(exitCode: number) {
    super("interrupted");
    this.exitCode = exitCode;
  }
}

/** Aborted with an Interrupted by the first signal. */
export function abortedBySignals(): AbortSignal {
  const interruption = new AbortController();
  for (const [name, exitCode] of Object.entries(SIGNALS))
    process.on(name, () => interruption.abort(new Interrupted(exitCode)));
  return interruption.signal;
}
