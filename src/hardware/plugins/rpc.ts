// Calls in both directions over a channel of messages: the agent asks the plug-in's process, and while it answers, that process may
// ask back (`within` the call), tell of progress and write to the log. Pure: it knows neither processes nor plug-ins.

import { CommandExecutionError } from "../../errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../../json.ts";
import { fromWireError, plainText, toWireError } from "./wire-error.ts";

/** Answers calls of the other side. Undefined becomes null; what JSON cannot hold makes the call fail. */
export type Serve = (method: string, params: Json, call: IncomingCall) => Promise<unknown>;

export type IncomingCall = {
  /** Aborted when the caller has lost interest. */
  readonly signal: AbortSignal;
  /** Asks the caller something, as a part of this call. */
  readonly ask: (method: string, params: Json) => Promise<Json>;
  /** Tells the caller something, as a part of this call. */
  readonly tell: (name: string, params: Json) => void;
};

export type CallOptions = {
  /** Passed on to the other side, which is then waited for all the same. */
  readonly signal?: AbortSignal;
  /** Answers what the other side asks as a part of this call. */
  readonly serve?: Serve;
  readonly onTold?: (name: string, params: Json) => void;
};

type Event =
  | { readonly kind: "asked"; readonly id: number; readonly method: string; readonly params: Json }
  | { readonly kind: "told"; readonly name: string; readonly params: Json }
  | { readonly kind: "result"; readonly result: Json }
  | { readonly kind: "error"; readonly error: unknown };

/** A call under way: what the other side says about it, in order, for the one who waits for it. */
class Exchange {
  readonly #events: Event[] = [];
  #wake: (() => void) | null = null;

  push(event: Event): void {
    this.#events.push(event);
    this.#wake?.();
  }

  async next(): Promise<Event> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) return event;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

export class Rpc {
  readonly #send: (message: Json) => void;
  readonly #serve: Serve;
  readonly #onTold: (name: string, params: Json) => void;
  /** Calls made here, by their number. */
  readonly #exchanges = new Map<number, Exchange>();
  /** Calls of the other side, by theirs. */
  readonly #answering = new Map<number, AbortController>();
  #lastId = 0;
  #closed: Error | null = null;

  /** `serve` and `onTold` are for what is not a part of a call. */
  constructor(
    send: (message: Json) => void,
    serve: Serve,
    onTold: (name: string, params: Json) => void = () => undefined,
  ) {
    this.#send = send;
    this.#serve = serve;
    this.#onTold = onTold;
  }

  /** @throws what the other side throws (fromWireError), or the reason it was closed for */
  call(method: string, params: Json, options: CallOptions = {}): Promise<Json> {
    return this.#call(method, params, null, options);
  }

  /** What JSON cannot hold is not told: it must not be what makes work fail that is well under way. */
  tell(name: string, params: Json): void {
    this.#trySend({ tell: name, params });
  }

  /** Takes a message of the other side. What is none is ignored: the other side runs foreign code, which may have sent it. */
  receive(message: unknown): void {
    if (!isJsonObject(message)) return;
    const params = message.params ?? null;
    const exchange = typeof message.within === "number" ? this.#exchanges.get(message.within) : undefined;
    if (typeof message.call === "number" && typeof message.method === "string") {
      const { call: id, method } = message;
      if (exchange !== undefined) exchange.push({ kind: "asked", id, method, params });
      else void this.#answer(id, method, params, this.#serve);
    } else if (typeof message.tell === "string") {
      if (exchange !== undefined) exchange.push({ kind: "told", name: message.tell, params });
      else this.#onTold(message.tell, params);
    } else if (typeof message.cancel === "number") {
      this.#answering.get(message.cancel)?.abort(new Error("the agent aborted it"));
    } else if (typeof message.done === "number") {
      this.#exchanges
        .get(message.done)
        ?.push(
          "error" in message
            ? { kind: "error", error: fromWireError(message.error) }
            : { kind: "result", result: message.result ?? null },
        );
    }
  }

  /** Fails every call under way and later ones with `reason`, and aborts what the other side asked for. */
  close(reason: Error): void {
    this.#closed = reason;
    for (const exchange of this.#exchanges.values()) exchange.push({ kind: "error", error: reason });
    for (const controller of this.#answering.values()) controller.abort(reason);
  }

  async #call(method: string, params: Json, within: number | null, options: CallOptions): Promise<Json> {
    if (this.#closed !== null) throw this.#closed;
    options.signal?.throwIfAborted();
    const id = ++this.#lastId;
    const exchange = new Exchange();
    this.#exchanges.set(id, exchange);
    const cancel = () => this.#trySend({ cancel: id });
    options.signal?.addEventListener("abort", cancel, { once: true });
    try {
      this.#send({ call: id, ...(within === null ? {} : { within }), method, params });
      // Handled here, not where messages arrive, so that what is logged on the way belongs to the caller's work (log-tap.ts).
      for (;;) {
        const event = await exchange.next();
        if (event.kind === "result") return event.result;
        if (event.kind === "error") throw event.error;
        if (event.kind === "told") options.onTold?.(event.name, event.params);
        else void this.#answer(event.id, event.method, event.params, options.serve ?? this.#serve);
      }
    } finally {
      options.signal?.removeEventListener("abort", cancel);
      this.#exchanges.delete(id);
    }
  }

  /** Never rejects, and always answers: the other side waits for as long as it takes. */
  async #answer(id: number, method: string, params: Json, serve: Serve): Promise<void> {
    const controller = new AbortController();
    this.#answering.set(id, controller);
    let outcome: JsonObject;
    try {
      const result = await serve(method, params, {
        signal: controller.signal,
        ask: (asked, given) => this.#call(asked, given, id, { signal: controller.signal }),
        tell: (name, given) => this.#trySend({ tell: name, within: id, params: given }),
      });
      outcome = { result: sendable(result) };
    } catch (error) {
      outcome = { error: toWireError(error) };
    }
    this.#answering.delete(id);
    this.#trySend({ done: id, ...outcome });
  }

  /** The other side may be gone: then nobody is left to tell, and whoever looks after it closes this end. */
  #trySend(message: Json): void {
    try {
      this.#send(message);
    } catch {
      // Gone, or something told that JSON cannot hold; answers are known to be sendable.
    }
  }
}

/** @throws CommandExecutionError for what JSON cannot hold: a ring, a BigInt, a getter that throws */
function sendable(result: unknown): Json {
  const value = (result ?? null) as Json;
  try {
    JSON.stringify(value);
    return value;
  } catch (error) {
    throw new CommandExecutionError(`what it returned cannot be sent as JSON: ${plainText(error)}`);
  }
}
