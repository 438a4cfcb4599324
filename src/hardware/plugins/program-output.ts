// What an executable plug-in prints while it answers: one JSON object per line, `log`, `progress` and `metric` as it goes along, and in
// the end `result` or `error`. Any other line is output of some tool it runs, and goes to the log.

import { CommandExecutionError, type RestError } from "../../errors.ts";
import { isJsonObject, type Json } from "../../json.ts";
import { Lines } from "./lines.ts";
import { apiError } from "./wire-error.ts";

export type ProgramEvent =
  | { readonly kind: "progress" | "metric" | "log"; readonly value: Json }
  /** A line that is no JSON object. */
  | { readonly kind: "text"; readonly value: string };

/** Characters of one line; a result has to fit in. */
const LONGEST_LINE = 4 * 1024 * 1024;

export class ProgramOutput {
  readonly #onEvent: (event: ProgramEvent) => void;
  readonly #lines = new Lines(LONGEST_LINE, (line, number) => this.#line(line, number));
  #result: { readonly value: Json } | null = null;
  #error: RestError | null = null;
  #complaint: string | null = null;

  constructor(onEvent: (event: ProgramEvent) => void) {
    this.#onEvent = onEvent;
  }

  /** The next piece of standard output, cut anywhere. */
  feed(text: string): void {
    this.#lines.feed(text);
  }

  /** The program has ended: what is left is its last line. */
  end(): void {
    this.#lines.end();
  }

  /** The error the program itself has reported so far; it says more than the exit code that follows. */
  get error(): RestError | null {
    return this.#error;
  }

  /**
   * The result, once the program has ended, and well.
   * @throws the error the program reported; CommandExecutionError, beginning with `who`, for output against the protocol
   */
  finish(who: string): Json {
    if (this.#error !== null) throw this.#error;
    if (this.#complaint !== null) throw new CommandExecutionError(`${who}: ${this.#complaint}`);
    if (this.#result === null)
      throw new CommandExecutionError(
        `${who}: it ended without saying how it went; its last line must be {"result": …} or {"error": {"message": …}}`,
      );
    return this.#result.value;
  }

  #line(line: string | null, number: number): void {
    if (line === null) {
      this.#complain(`line ${number} of its output is longer than ${LONGEST_LINE} characters`);
      return;
    }
    const text = line.trim();
    if (text === "") return;
    if (!text.startsWith("{")) {
      this.#onEvent({ kind: "text", value: text });
      return;
    }
    const message = parse(text);
    if (!isJsonObject(message)) {
      this.#complain(`line ${number} of its output begins like JSON but is none: ${short(text)}`);
      return;
    }
    if ("result" in message) this.#result = { value: message.result ?? null };
    else if ("error" in message) this.#error = reported(message.error);
    else if ("progress" in message) this.#onEvent({ kind: "progress", value: message.progress ?? null });
    else if ("metric" in message) this.#onEvent({ kind: "metric", value: message.metric ?? null });
    else if ("log" in message)
      this.#onEvent({ kind: "log", value: { message: message.log ?? null, level: message.level ?? null } });
    else
      this.#complain(
        `line ${number} of its output has none of result, error, progress, log and metric: ${short(text)}`,
      );
  }

  /** The first thing that is wrong is the one to mend. */
  #complain(what: string): void {
    this.#complaint ??= what;
  }
}

function reported(error: Json | undefined): RestError {
  if (!isJsonObject(error))
    return new CommandExecutionError(typeof error === "string" ? error : JSON.stringify(error ?? null));
  const message = typeof error.message === "string" ? error.message : "the plug-in gave no reason";
  return apiError(error.type, message, { code: error.code });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the caller says so, with the text
  }
}

function short(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
