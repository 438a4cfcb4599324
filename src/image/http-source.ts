// An image from a list of URLs, with one budget of retries for all of them. A broken connection goes on at the byte it
// stopped at, if the server can prove that the file is still the same; otherwise, and after a wrong checksum, the
// consumer gets the body again from its start. Source: deploy specification 2.1, 2.2, 2.5.

import {
  ImageChecksumError,
  ImageDownloadError,
  ImageDownloadFatalError,
  ImageDownloadTimeoutError,
} from "../errors.ts";
import type { HttpResponse } from "../system/http-client.ts";
import type { System } from "../system/system.ts";
import { type ContentEncoding, contentEncoding, decoded } from "./content-encoding.ts";
import { type Continuation, type GetSettings, HttpFault, httpGet, shownUrl } from "./http-get.ts";
import { contentLength, requireRange, strongValidator } from "./response-headers.ts";
import { watchedBody } from "./watched-body.ts";

export type DownloadPlan = {
  /** For messages. */
  readonly imageId: string;
  /** In order of preference; at least one. */
  readonly urls: readonly string[];
  readonly settings: GetSettings;
  /** Further rounds over the URLs after the first. */
  readonly retries: number;
  /** Seconds between rounds. */
  readonly interval: number;
  /** Seconds for everything together; 0 = no limit. */
  readonly maxDuration: number;
};

/** One delivery of the image, from its first byte. */
export type ImageBody = {
  /** Where it comes from, fit for a log. */
  readonly source: string;
  /** Bytes, if the server said so; then exactly so many will come. */
  readonly length: number | null;
  /** To be iterated once. Chunks of any size; resumes by itself. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Reads parts out of turn, before or while the chunks come; null if the server cannot. */
  readonly readRange: ReadRange | null;
};

/**
 * The `length` bytes at `offset`, which must be within the body. They are of the same file as far as the server can tell; only the
 * checksum of the whole is proof.
 * @throws HttpFault; `startOver` or `permanent` if this server does not give parts
 */
export type ReadRange = (offset: number, length: number) => Promise<Uint8Array>;

/**
 * Hands deliveries to `consume` until it accepts one. An HttpFault out of the chunks, or an ImageChecksumError, makes it
 * try again; whatever else `consume` throws is final and passes through.
 * @throws ImageDownloadError (…FatalError: all URLs are hopeless; …TimeoutError: out of time), ImageChecksumError
 */
export async function download<T>(
  system: System,
  plan: DownloadPlan,
  signal: AbortSignal,
  consume: (body: ImageBody) => Promise<T>,
): Promise<T> {
  const outOfTime = new AbortController();
  const timer = new AbortController();
  if (plan.maxDuration > 0)
    system.clock.sleep(plan.maxDuration, timer.signal).then(
      () => outOfTime.abort(),
      () => undefined, // the download ended first
    );
  try {
    return await new Download(system, plan, AbortSignal.any([signal, outOfTime.signal])).run(consume);
  } catch (error) {
    if (outOfTime.signal.aborted && !signal.aborted)
      throw new ImageDownloadTimeoutError(
        plan.imageId,
        `not finished within image_download_max_duration (${plan.maxDuration} s)`,
        { cause: error },
      );
    throw error;
  } finally {
    timer.abort();
  }
}

/**
 * A small file (a checksum list, a config drive) by the same rules.
 * @throws as download, and ImageDownloadError if it is longer than `limit` bytes
 */
export async function downloadBytes(
  system: System,
  plan: DownloadPlan,
  signal: AbortSignal,
  limit: number,
): Promise<Uint8Array> {
  return download(system, plan, signal, async ({ chunks }) => {
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of chunks) {
      size += chunk.length;
      if (size > limit) throw new ImageDownloadError(plan.imageId, `longer than the limit of ${limit} bytes`);
      parts.push(chunk);
    }
    return Buffer.concat(parts);
  });
}

/** What became of one URL. */
class UrlState {
  readonly url: string;
  hopeless = false;
  /** The last failure, and the seconds from the first attempt to it. */
  failure: { readonly error: Error; readonly seconds: number } | null = null;
  #started: number | null = null;

  constructor(url: string) {
    this.url = url;
  }

  begin(now: number): void {
    this.#started ??= now;
  }

  failed(error: HttpFault | ImageChecksumError, now: number): void {
    const last = this.failure?.error;
    // Flipped bits differ from time to time. The same wrong bytes twice are what the server has.
    const sameWrongBytes =
      error instanceof ImageChecksumError &&
      last instanceof ImageChecksumError &&
      error.actual === last.actual;
    this.hopeless ||= sameWrongBytes || (error instanceof HttpFault && error.permanent);
    this.failure = { error, seconds: now - (this.#started ?? now) };
  }
}

class Download {
  readonly #system: System;
  readonly #plan: DownloadPlan;
  readonly #signal: AbortSignal;
  readonly #urls: readonly UrlState[];
  #retriesLeft: number;

  constructor(system: System, plan: DownloadPlan, signal: AbortSignal) {
    this.#system = system;
    this.#plan = plan;
    this.#signal = signal;
    this.#urls = plan.urls.map((url) => new UrlState(url));
    this.#retriesLeft = plan.retries;
  }

  async run<T>(consume: (body: ImageBody) => Promise<T>): Promise<T> {
    for (;;) {
      let retryAfter: number | null = null;
      for (const state of this.#urls.filter(({ hopeless }) => !hopeless)) {
        const outcome = await this.#try(state, consume);
        if ("value" in outcome) return outcome.value;
        const { fault } = outcome;
        if (fault instanceof HttpFault) retryAfter = Math.max(retryAfter ?? 0, fault.retryAfter ?? 0);
      }
      if (this.#urls.every(({ hopeless }) => hopeless) || !(await this.#wait(retryAfter)))
        throw this.#verdict();
    }
  }

  /** One URL, again at once as often as its server merely could not go on in the middle. */
  async #try<T>(
    state: UrlState,
    consume: (body: ImageBody) => Promise<T>,
  ): Promise<{ value: T } | { fault: HttpFault | ImageChecksumError }> {
    const { clock, log } = this.#system;
    for (;;) {
      state.begin(clock.monotonic());
      try {
        return { value: await this.#deliver(state, consume) };
      } catch (fault) {
        this.#signal.throwIfAborted();
        if (!(fault instanceof HttpFault || fault instanceof ImageChecksumError)) throw fault;
        state.failed(fault, clock.monotonic());
        log.warning(`image ${this.#plan.imageId}: ${shownUrl(state.url)}: ${fault.message}`);
        if (!(fault instanceof HttpFault && fault.startOver)) return { fault };
      }
    }
  }

  async #deliver<T>(state: UrlState, consume: (body: ImageBody) => Promise<T>): Promise<T> {
    const { clock, log } = this.#system;
    const opened = await this.#open(state.url);
    // Packed for the way, a body says nothing of the file's length, and parts of it are no parts of the file.
    const plain = opened.encoding === "identity";
    const length = plain ? opened.length : null;
    const started = clock.monotonic();
    let received = 0;
    const count = (bytes: number) => {
      received += bytes;
    };
    const chunks = decoded(this.#chunks(state, opened, count), opened.encoding);
    try {
      const readRange = plain ? this.#rangeReader(state.url, opened) : null;
      const value = await consume({ source: shownUrl(state.url), length, chunks, readRange });
      const seconds = clock.monotonic() - started;
      log.info(
        `image ${this.#plan.imageId}: received ${received} bytes (Content-Length ${opened.length ?? "not given"}) in ` +
          `${seconds.toFixed(1)} s, ${(received / 2 ** 20 / Math.max(seconds, 0.001)).toFixed(1)} MiB/s`,
      );
      return value;
    } finally {
      // A consumer that refuses the image before its first byte never started the iteration that would close it.
      await chunks.return();
      opened.abort.abort();
    }
  }

  async *#chunks(
    state: UrlState,
    first: Opened,
    count: (bytes: number) => void,
  ): AsyncGenerator<Uint8Array, void, void> {
    const { length } = first;
    let opened = first;
    let received = 0;
    for (;;) {
      try {
        for await (const chunk of watchedBody(
          opened.response,
          this.#plan.settings.timeout,
          this.#system.clock,
          opened.abort,
        )) {
          received += chunk.length;
          count(chunk.length);
          if (length !== null && received > length)
            throw new HttpFault(`more than the ${length} bytes of its Content-Length came`);
          yield chunk;
        }
        if (length !== null && received < length)
          throw new HttpFault(`Connection closed early: ${received} of ${length} bytes came`);
        return;
      } catch (error) {
        this.#signal.throwIfAborted();
        const usable = error instanceof HttpFault && (length === null || received <= length);
        if (!usable || first.validator === null || received === 0) throw error;
        const { validator, encoding } = first;
        const rest = { offset: received, length: null, validator, encoding };
        opened = await this.#resume(state, error, rest, length);
      }
    }
  }

  /** Spends retries until the server sends the rest; gives the fault back when it cannot, or another URL may do better. */
  async #resume(
    state: UrlState,
    cause: HttpFault,
    continuation: EncodedContinuation,
    length: number | null,
  ): Promise<Opened> {
    let fault = cause;
    for (;;) {
      this.#system.log.warning(
        `image ${this.#plan.imageId}: ${fault.message}; going on at byte ${continuation.offset}`,
      );
      if (!(await this.#wait(fault.retryAfter))) throw fault;
      try {
        const opened = await this.#open(state.url, continuation);
        requireRange(opened.response, continuation, length);
        return opened;
      } catch (error) {
        this.#signal.throwIfAborted();
        if (!(error instanceof HttpFault)) throw error;
        const alternatives = this.#urls.some((other) => other !== state && !other.hopeless);
        if (error.permanent || error.startOver || alternatives) throw error;
        fault = error;
      }
    }
  }

  #rangeReader(url: string, { response, length, validator }: Opened): ReadRange | null {
    if (length === null || response.headers.get("accept-ranges")?.toLowerCase() === "none") return null;
    return async (offset, wanted) => {
      for (;;) {
        try {
          return await this.#readPart(
            url,
            { offset, length: wanted, validator, encoding: "identity" },
            length,
          );
        } catch (error) {
          this.#signal.throwIfAborted();
          if (!(error instanceof HttpFault) || error.permanent || error.startOver) throw error;
          this.#system.log.warning(`image ${this.#plan.imageId}: ${error.message}`);
          if (!(await this.#wait(error.retryAfter))) throw error;
        }
      }
    };
  }

  async #readPart(
    url: string,
    part: EncodedContinuation & { readonly length: number },
    total: number,
  ): Promise<Uint8Array> {
    const { response, abort } = await this.#open(url, part);
    try {
      requireRange(response, part, total);
      const bytes = Buffer.alloc(part.length);
      let received = 0;
      for await (const chunk of watchedBody(
        response,
        this.#plan.settings.timeout,
        this.#system.clock,
        abort,
      )) {
        if (received + chunk.length > part.length)
          throw new HttpFault(`more than the ${part.length} bytes asked for came`, { startOver: true });
        bytes.set(chunk, received);
        received += chunk.length;
      }
      if (received < part.length)
        throw new HttpFault(`Connection closed early: ${received} of ${part.length} bytes came`);
      return bytes;
    } finally {
      abort.abort();
    }
  }

  async #open(url: string, continuation?: EncodedContinuation): Promise<Opened> {
    const abort = new AbortController();
    const response = await httpGet(this.#system, url, this.#plan.settings, {
      signal: AbortSignal.any([this.#signal, abort.signal]),
      ...(continuation === undefined ? {} : { continuation }),
    });
    const encoding = contentEncoding(response);
    if (encoding === null || (continuation !== undefined && encoding !== continuation.encoding)) {
      abort.abort();
      throw new HttpFault(
        `${shownUrl(url)} sends the image with Content-Encoding ${response.headers.get("content-encoding")} although ` +
          "only identity was accepted; switch the server's compression off for it",
        { permanent: true },
      );
    }
    return {
      response,
      abort,
      encoding,
      length: contentLength(response),
      validator: strongValidator(response),
    };
  }

  /** Takes one retry and sits out the pause; false if none is left. */
  async #wait(retryAfter: number | null): Promise<boolean> {
    if (this.#retriesLeft <= 0) return false;
    this.#retriesLeft--;
    await this.#system.clock.sleep(Math.max(this.#plan.interval, retryAfter ?? 0), this.#signal);
    return true;
  }

  #verdict(): Error {
    const wrong = this.#urls.find(({ failure }) => failure?.error instanceof ImageChecksumError);
    if (wrong?.failure) return wrong.failure.error;
    const lines = this.#urls.map(({ url, failure }) => {
      const { error, seconds } = failure ?? { error: new Error("not tried"), seconds: 0 };
      return `URL: ${shownUrl(url)}; time: ${seconds.toFixed(1)} seconds. Error: ${error.message}`;
    });
    const Verdict = this.#urls.every(({ hopeless }) => hopeless)
      ? ImageDownloadFatalError
      : ImageDownloadError;
    return new Verdict(this.#plan.imageId, lines.join("\n "));
  }
}

/** A part of a body that was packed like this, and must be again. */
type EncodedContinuation = Continuation & { readonly encoding: ContentEncoding };

type Opened = {
  readonly response: HttpResponse;
  readonly abort: AbortController;
  readonly encoding: ContentEncoding;
  /** Of the body as it comes. */
  readonly length: number | null;
  /** For If-Range; null if the server gave nothing that tells two versions of the file apart. */
  readonly validator: string | null;
};
