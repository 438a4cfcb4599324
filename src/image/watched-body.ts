// Reads a response body with a limit on its silence. The clock runs only while a read is waiting: a disk that is slow to
// take what has come is not the server's fault.

import type { Clock } from "../system/clock.ts";
import { HttpError, type HttpResponse } from "../system/http-client.ts";
import { HttpFault } from "./http-get.ts";

/**
 * Chunks of `response`; ending the iteration early closes the connection.
 * @param silence seconds without a byte until the connection counts as lost
 * @param abort must end the request itself: a pending read rejects only then
 * @throws HttpFault when the connection broke or went silent
 */
export async function* watchedBody(
  response: HttpResponse,
  silence: number,
  clock: Clock,
  abort: AbortController,
): AsyncGenerator<Uint8Array> {
  const reader = response.body.getReader();
  const watchdog = new Watchdog(clock, silence, abort);
  try {
    for (;;) {
      watchdog.start();
      const { done, value } = await reader.read();
      watchdog.pause();
      if (done) return;
      if (value.length > 0) yield value;
    }
  } catch (error) {
    if (watchdog.fired) throw new HttpFault("Timed out reading next chunk from webserver", { cause: error });
    // Whoever reads the body names the URL, without its query.
    if (error instanceof HttpError) throw new HttpFault(error.reason, { cause: error });
    throw error;
  } finally {
    watchdog.end();
    await reader.cancel().catch(ignoreBroken);
  }
}

class Watchdog {
  fired = false;
  readonly #clock: Clock;
  readonly #silence: number;
  readonly #ended = new AbortController();
  /** When the pending read began; null while nobody waits for the server. */
  #since: number | null = null;

  constructor(clock: Clock, silence: number, abort: AbortController) {
    this.#clock = clock;
    this.#silence = silence;
    void this.#watch(abort);
  }

  start(): void {
    this.#since = this.#clock.monotonic();
  }

  pause(): void {
    this.#since = null;
  }

  end(): void {
    this.#ended.abort();
  }

  /** One sleep at a time instead of a timer per chunk: chunks come thousands of times a second. */
  async #watch(abort: AbortController): Promise<void> {
    while (!this.#ended.signal.aborted) {
      const left =
        this.#since === null ? this.#silence : this.#since + this.#silence - this.#clock.monotonic();
      if (left <= 0) {
        this.fired = true;
        abort.abort();
        return;
      }
      await this.#clock.sleep(left, this.#ended.signal).catch(ignoreBroken); // rejects when the body has ended
    }
  }
}

/** The connection is being given up: that it is broken as well is no news. */
function ignoreBroken(): void {
  // deliberately nothing
}
