// One command, watched live: server-sent events with its state, its progress and its log lines, until it has ended.
// A reader that is slow costs the agent nothing but the bounded queue of the feed (command-feed.ts): nothing is taken from there
// before the connection has room. Lines are numbered, so that a reader that lost the connection goes on where it was.
// Format: https://html.spec.whatwg.org/multipage/server-sent-events.html

import { type Static, Type } from "@sinclair/typebox";
import type { CommandEvent } from "../extensions/command-feed.ts";
import { CommandProgress, CommandResult } from "../extensions/command-result.ts";
import type { Clock } from "../system/clock.ts";
import { HttpFault } from "./errors.ts";
import { pythonJson } from "./python-json.ts";

const event = <E extends string, D extends ReturnType<typeof Type.Object>>(name: E, data: D) =>
  Type.Object({ event: Type.Literal(name), data, id: Type.Optional(Type.String()) });

export const LogLine = Type.Object({
  /** Seconds since 1970. */
  time: Type.Number({ description: "Seconds since 1970." }),
  level: Type.String({ description: "DEBUG, INFO, WARNING or ERROR." }),
  logger: Type.String(),
  message: Type.String({ description: "Secrets are masked, as in the log itself." }),
});

/** What a reader sees of one event. */
export const StreamedEvent = Type.Union([
  event("state", CommandResult),
  event("progress", CommandProgress),
  event("log", LogLine),
  event("skipped", Type.Object({ lines: Type.Integer() })),
]);
export type StreamedEvent = Static<typeof StreamedEvent>;

/** Seconds without an event after which a comment goes out, or something on the way would take the connection for dead. */
const KEEP_ALIVE = 15;
/** Milliseconds for browsers to wait before they connect again. */
const RECONNECT = 2000;
/** Each may hold some mebibytes of lines if it is slow. */
const MOST_READERS = 32;
/** Id of the last event. A browser connects again whatever happens, and is told by it that there is nothing more. */
const END = "end";

export class CommandEvents {
  readonly #clock: Clock;
  readonly #follow: Follow;
  #readers = 0;

  constructor(clock: Clock, follow: Follow) {
    this.#clock = clock;
    this.#follow = follow;
  }

  /** @throws RequestedObjectNotFoundError, HttpFault 503 when too many read already */
  answer(id: string, request: Request): Response {
    const last = request.headers.get("last-event-id") ?? "";
    const gone = new AbortController();
    const events = this.#follow(id, gone.signal, /^\d{1,9}$/.test(last) ? Number(last) : 0);
    // 204 is what stops a browser from asking again.
    if (last === END) return new Response(null, { status: 204 });
    if (this.#readers >= MOST_READERS) throw tooManyReaders();
    // The router would read an answer to HEAD to its end.
    return new Response(request.method === "HEAD" ? null : this.#stream(events, gone), {
      headers: {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-cache",
        "X-Accel-Buffering": "no",
      },
    });
  }

  #stream(events: AsyncIterable<CommandEvent>, gone: AbortController): ReadableStream<Uint8Array> {
    const iterator = events[Symbol.asyncIterator]();
    let next: Promise<IteratorResult<CommandEvent>> | null = null;
    let reading = false;
    const leave = () => {
      if (reading) this.#readers--;
      reading = false;
    };
    const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
      const send = (text: string) => controller.enqueue(new TextEncoder().encode(text));
      let preamble = "";
      if (!reading) {
        reading = true;
        this.#readers++;
        // Part of the first event: some readers take a field of its own for an event without a name.
        preamble = `retry: ${RECONNECT}\n`;
      }
      next ??= iterator.next();
      const came = await this.#soon(next);
      if (came === null) {
        send(`${preamble}: nothing new\n\n`);
        return;
      }
      next = null;
      if (!came.done) {
        send(preamble + frame(came.value));
        return;
      }
      leave();
      controller.close();
    };
    const cancel = async () => {
      leave();
      gone.abort();
      await iterator.return?.();
    };
    // A queue of its own would only take away from what the feed's bounded one can see.
    return new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
  }

  /** Null when nothing came for a while. */
  async #soon<T>(next: Promise<T>): Promise<T | null> {
    const came = new AbortController();
    const quiet = this.#clock.sleep(KEEP_ALIVE, came.signal).then(
      () => null,
      () => null, // not needed any more
    );
    try {
      return await Promise.race([next, quiet]);
    } finally {
      came.abort();
    }
  }
}

/** See CommandRegistry.follow. */
type Follow = (id: string, signal: AbortSignal, after: number) => AsyncIterable<CommandEvent>;

function frame(event: CommandEvent): string {
  const { name, data, id } = streamed(event);
  return `event: ${name}\n${id === null ? "" : `id: ${id}\n`}data: ${pythonJson(data)}\n\n`;
}

function streamed(event: CommandEvent): { name: StreamedEvent["event"]; data: unknown; id: string | null } {
  switch (event.type) {
    case "state": {
      const ended = event.result.command_status !== "RUNNING";
      return { name: "state", data: event.result, id: ended ? END : null };
    }
    case "progress":
      return { name: "progress", data: event.progress, id: null };
    case "log":
      return { name: "log", data: event.record, id: String(event.sequence) };
    case "skipped":
      return { name: "skipped", data: { lines: event.lines }, id: null };
  }
}

function tooManyReaders(): HttpFault {
  return new HttpFault(
    503,
    "Service Unavailable",
    `${MOST_READERS} clients are reading events of commands already.`,
    { "Retry-After": "10" },
  );
}
