// HTTP as a client: to Ironic, to image servers. One function, no retries and no policy; those live with the callers, who
// know what may be repeated. Bodies are streams with back-pressure; content is never decoded behind the caller's back.

import { errnoName } from "./files.ts";
import { TLS_VERSION_NUMBERS, type TlsVersion } from "./http-server.ts";
import { redactText } from "./redact.ts";
import { tlsFailureText } from "./tls-failure.ts";

export type TlsClientOptions = {
  /** False turns verification off. */
  readonly verify: boolean;
  /** PEM of the CAs that replace the built-in ones; null = system store. */
  readonly ca: string | null;
  /** What to call `ca` in errors, e.g. the file and the option that named it. */
  readonly caName?: string;
  /** Client certificate and key, PEM. */
  readonly certificate: { readonly cert: string; readonly key: string } | null;
  /** Oldest version to speak; default 1.2. */
  readonly minVersion?: TlsVersion;
  /** TLS 1.2 cipher suites, OpenSSL's notation; null = the runtime's. */
  readonly ciphers?: string | null;
};

export type HttpRequest = {
  readonly method: "GET" | "HEAD" | "POST" | "PUT";
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly tls?: TlsClientOptions;
  /** Proxy URL, or null for a direct connection (the environment is never consulted here). */
  readonly proxy?: string | null;
  /** Seconds until the answer's headers must be there. */
  readonly timeout: number;
  readonly signal?: AbortSignal;
};

/** Redirects are not followed: the caller sees the 3xx and its Location. */
export type HttpResponse = {
  readonly status: number;
  readonly headers: Headers;
  /** Chunks as they come; ends early with HttpError if the connection breaks. Must be read or cancelled. */
  readonly body: ReadableStream<Uint8Array>;
  /** The whole body as text. @throws HttpError if longer than `limit` bytes (default 16 MiB) or slower than `timeout`. */
  text(limit?: number): Promise<string>;
};

export type HttpClient = (request: HttpRequest) => Promise<HttpResponse>;

/** No usable answer: refused, unresolvable, TLS, reset, timed out. `code` is the runtime's word for it. */
export class HttpError extends Error {
  readonly code: string;
  /** True when the time limit, not the network, ended it. */
  readonly timedOut: boolean;
  /** The message without method and URL, for those who must not show the query of one. */
  readonly reason: string;

  constructor(
    message: string,
    code: string,
    timedOut = false,
    options: ErrorOptions & { readonly reason?: string } = {},
  ) {
    super(message, options);
    this.code = code;
    this.timedOut = timedOut;
    this.reason = options.reason ?? message;
  }
}

const DEFAULT_TEXT_LIMIT = 16 * 1024 * 1024;

/** Real requests, by the runtime's fetch with everything automatic about it turned off. */
export const realHttpClient: HttpClient = async (request) => {
  const abort = new AbortController();
  const onAbort = () => abort.abort(request.signal?.reason);
  if (request.signal?.aborted) onAbort();
  request.signal?.addEventListener("abort", onAbort, { once: true });
  const release = () => request.signal?.removeEventListener("abort", onAbort);
  const deadline = new Deadline(request, abort);
  try {
    const response = await fetch(request.url, {
      method: request.method,
      headers: { ...request.headers },
      ...(request.body === undefined ? {} : { body: request.body }),
      redirect: "manual",
      decompress: false,
      proxy: request.proxy ?? false,
      signal: abort.signal,
      timeout: false,
      ...(request.tls === undefined ? {} : { tls: tlsOptions(request.tls) }),
    } as BunFetchRequestInit);
    deadline.clear();
    const body = watched(response.body, request.url, release);
    return {
      status: response.status,
      headers: response.headers,
      body,
      text: (limit = DEFAULT_TEXT_LIMIT) => readText(body, request, abort, limit),
    };
  } catch (error) {
    release();
    throw deadline.passed ? deadline.error() : toHttpError(request, error);
  } finally {
    deadline.clear();
  }
};

function tlsOptions(tls: TlsClientOptions) {
  return {
    rejectUnauthorized: tls.verify,
    ...(tls.ca === null ? {} : { ca: tls.ca }),
    ...(tls.certificate === null ? {} : tls.certificate),
    minVersion: TLS_VERSION_NUMBERS[tls.minVersion ?? "1.2"],
    ...(tls.ciphers == null ? {} : { ciphers: tls.ciphers }),
  };
}

/** Aborts a request that takes too long, and remembers that it was the time and not the network. */
class Deadline {
  passed = false;
  readonly #request: HttpRequest;
  readonly #timer: Timer;

  constructor(request: HttpRequest, abort: AbortController) {
    this.#request = request;
    this.#timer = setTimeout(() => {
      this.passed = true;
      abort.abort();
    }, request.timeout * 1000);
  }

  clear(): void {
    clearTimeout(this.#timer);
  }

  error(): HttpError {
    const { method, url, timeout } = this.#request;
    const reason = `no answer within ${timeout} s`;
    return new HttpError(`${method} ${redactText(url)}: ${reason}`, "ETIMEDOUT", true, { reason });
  }
}

/** The runtime's own words for these are advice for programmers. */
const PLAIN_WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there, or a firewall refuses the connection",
  ECONNRESET: "the other side closed the connection before its answer was complete",
};

function toHttpError(request: Pick<HttpRequest, "method" | "url" | "tls">, error: unknown): Error {
  if (error instanceof HttpError) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  if (cause.name === "AbortError") return cause;
  const code = errnoName(cause);
  const words = PLAIN_WORDS[code] ?? cause.message;
  const text =
    tlsFailureText(code, request.tls, Date.now()) ?? (words.startsWith(code) ? words : `${code}: ${words}`);
  const reason = redactText(text);
  const message = `${request.method} ${redactText(request.url)}: ${reason}`;
  return new HttpError(message, code, false, { cause, reason });
}

/** The body as it is, with its errors named; pulls only when asked, so a slow reader slows the sender. */
function watched(
  body: ReadableStream<Uint8Array> | null,
  url: string,
  release: () => void,
): ReadableStream<Uint8Array> {
  const reader = body?.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
          if (!done) {
            controller.enqueue(value);
            return;
          }
          release();
          controller.close();
        } catch (error) {
          release();
          controller.error(toHttpError({ method: "GET", url }, error));
        }
      },
      async cancel(reason) {
        release();
        await reader?.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

async function readText(
  body: ReadableStream<Uint8Array>,
  request: HttpRequest,
  abort: AbortController,
  limit: number,
): Promise<string> {
  const deadline = new Deadline(request, abort);
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of body) {
      size += chunk.length;
      if (size > limit)
        throw new HttpError(`${redactText(request.url)}: the answer is longer than ${limit} bytes`, "TOOBIG");
      chunks.push(chunk);
    }
  } catch (error) {
    throw deadline.passed ? deadline.error() : error;
  } finally {
    deadline.clear();
  }
  return Buffer.concat(chunks).toString("utf8");
}
