// Tells apart who wrote a log line: while a piece of work runs, the records written by it, however deep and however long after an
// `await`, also go to whoever watches it. Loggers are shared by the whole agent, so only the runtime's own asynchronous context knows.

import { AsyncLocalStorage } from "node:async_hooks";
import type { LogSink } from "./log.ts";

/** Runs `work` and hands every record it writes to `listener` too; what else is logged meanwhile is not its business. */
export type TapLog = <T>(listener: LogSink, work: () => Promise<T>) => Promise<T>;

export class LogTap {
  readonly #watched = new AsyncLocalStorage<LogSink>();

  /** The sink for loggers whose records can be watched. */
  around(sink: LogSink): LogSink {
    return (record) => {
      sink(record);
      this.#watched.getStore()?.(record);
    };
  }

  readonly during: TapLog = (listener, work) => this.#watched.run(listener, work);
}
