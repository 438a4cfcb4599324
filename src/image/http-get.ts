// One GET for an image: redirects by hand (the runtime would carry credentials to other hosts and go from https to http), and
// every outcome but success turned into an HttpFault that says whether repeating can help.
// Source: deploy specification 2.1, 2.2, 2.4.

import { HttpError, type HttpResponse, type TlsClientOptions } from "../system/http-client.ts";
import { type ProxySettings, proxyFor } from "../system/proxy.ts";
import type { System } from "../system/system.ts";
import { authorizationInUrl } from "./http-auth.ts";

/** How image servers are talked to; the same for the image, its checksum file and its config drive. */
export type GetSettings = {
  readonly proxy: ProxySettings;
  readonly tls: TlsClientOptions;
  /** Value of the Authorization header; credentials in a URL count where this is null. */
  readonly authorization: string | null;
  /** Seconds to the answer's headers, and longest silence after them. */
  readonly timeout: number;
};

/** Ask for a part of a body, if it is still the same; without a validator the server cannot tell. */
export type Continuation = {
  readonly offset: number;
  /** Bytes wanted; null = all that follow. */
  readonly length: number | null;
  readonly validator: string | null;
};

/** A download failed; decided here, once, whether it may be tried again. */
export class HttpFault extends Error {
  /** True: this URL will not get better. */
  readonly permanent: boolean;
  /** Seconds the server asks to wait. */
  readonly retryAfter: number | null;
  /** The server cannot go on where it stopped; a new start needs no further waiting. */
  readonly startOver: boolean;

  constructor(
    message: string,
    options: { permanent?: boolean; retryAfter?: number | null; startOver?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.permanent = options.permanent ?? false;
    this.retryAfter = options.retryAfter ?? null;
    this.startOver = options.startOver ?? false;
  }
}

const MAX_REDIRECTS = 30;
const REDIRECTS = [301, 302, 303, 307, 308];
/** Client errors that may pass: request time-out, too early, too many requests. */
const PASSING_CLIENT_ERRORS = [408, 425, 429];
/** Bytes of an error answer's body that go into the message. */
const QUOTED_BODY = 1024;
/** Header fields of an error answer that are not shown: they may hold secrets. */
const SECRET_HEADERS = new Set([
  "set-cookie",
  "www-authenticate",
  "proxy-authenticate",
  "authentication-info",
  "authorization",
]);
/** No server may make a deploy wait longer than this, seconds. */
const MAX_RETRY_AFTER = 600;

/** `url` for logs and errors: credentials left out, the query (signatures, tokens) and the fragment masked. */
export function shownUrl(url: string): string {
  if (!URL.canParse(url)) return url.replace(/\?.*$/s, "?***");
  const { protocol, host, pathname, search } = new URL(url);
  return `${protocol}//${host}${pathname}${search === "" ? "" : "?***"}`;
}

/** The same with the proxy it is fetched by, if it is: what fails may be that. */
function shownWay(url: string, { proxy: settings }: GetSettings): string {
  const proxy = proxyFor(url, settings);
  return proxy === null ? shownUrl(url) : `${shownUrl(url)} (by the proxy ${shownUrl(proxy)})`;
}

/** @throws HttpFault; or the signal's reason when aborted */
export async function httpGet(
  system: System,
  url: string,
  settings: GetSettings,
  options: { readonly signal: AbortSignal; readonly continuation?: Continuation },
): Promise<HttpResponse> {
  let current = new URL(url);
  let authorization = settings.authorization ?? authorizationInUrl(current);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const response = await oneGet(system, current, authorization, settings, options);
    if (response.status === (options.continuation === undefined ? 200 : 206)) return response;
    if (!REDIRECTS.includes(response.status))
      throw await statusFault(system.clock.now(), response, current, settings, options.continuation);
    const next = await redirectTarget(response, current);
    if (next.host !== current.host) authorization = null;
    authorization = authorizationInUrl(next) ?? authorization;
    current = next;
  }
  throw new HttpFault(`more than ${MAX_REDIRECTS} redirects, the last to ${shownUrl(current.href)}`, {
    permanent: true,
  });
}

async function oneGet(
  system: System,
  url: URL,
  authorization: string | null,
  settings: GetSettings,
  { signal, continuation }: { readonly signal: AbortSignal; readonly continuation?: Continuation },
): Promise<HttpResponse> {
  const bare = new URL(url);
  bare.username = "";
  bare.password = "";
  bare.hash = "";
  try {
    return await system.http({
      method: "GET",
      url: bare.href,
      headers: {
        // The length and the checksum are those of the file, so it must not be packed on the way.
        "Accept-Encoding": "identity",
        ...(authorization === null ? {} : { Authorization: authorization }),
        ...(continuation === undefined ? {} : rangeHeaders(continuation)),
      },
      tls: settings.tls,
      proxy: proxyFor(bare.href, settings.proxy),
      timeout: settings.timeout,
      signal,
    });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof HttpError)) throw error;
    throw new HttpFault(`GET ${shownWay(bare.href, settings)}: ${error.reason}`, { cause: error });
  }
}

function rangeHeaders({ offset, length, validator }: Continuation): Record<string, string> {
  const end = length === null ? "" : offset + length - 1;
  return { Range: `bytes=${offset}-${end}`, ...(validator === null ? {} : { "If-Range": validator }) };
}

async function redirectTarget(response: HttpResponse, from: URL): Promise<URL> {
  await response.body.cancel();
  const location = response.headers.get("location");
  if (location === null || !URL.canParse(location, from.href))
    throw new HttpFault(`${shownUrl(from.href)} answered ${response.status} without a usable Location`, {
      permanent: true,
    });
  const target = new URL(location, from.href);
  if (target.protocol !== "https:" && (target.protocol !== "http:" || from.protocol === "https:"))
    throw new HttpFault(
      `redirect from ${shownUrl(from.href)} to ${shownUrl(target.href)} refused: it would leave ` +
        `${from.protocol.slice(0, -1)} for ${target.protocol.slice(0, -1)}`,
      { permanent: true },
    );
  return target;
}

async function statusFault(
  now: number,
  response: HttpResponse,
  url: URL,
  settings: GetSettings,
  continuation: Continuation | undefined,
): Promise<HttpFault> {
  const { status, headers } = response;
  if (continuation !== undefined && (status === 200 || status === 416)) {
    await response.body.cancel();
    return new HttpFault(
      `${shownUrl(url.href)} cannot go on at byte ${continuation.offset} (answer ${status}); starting over`,
      { startOver: true },
    );
  }
  const shownHeaders = [...headers]
    .filter(([name]) => !SECRET_HEADERS.has(name.toLowerCase()))
    .map(([name, value]) => `${name}: ${value}`)
    .join(", ");
  return new HttpFault(
    `Received status code ${status} from ${shownWay(url.href, settings)}, expected ${continuation === undefined ? 200 : 206}. ` +
      `Response body: ${await quotedBody(response)} Response headers: ${shownHeaders}`,
    {
      permanent: status >= 400 && status < 500 && !PASSING_CLIENT_ERRORS.includes(status),
      retryAfter: parseRetryAfter(headers.get("retry-after"), now),
    },
  );
}

/** The start of an error answer's body; what cannot be read of it is not worth another error. */
async function quotedBody(response: HttpResponse): Promise<string> {
  try {
    return (await response.text(64 * QUOTED_BODY)).slice(0, QUOTED_BODY).trim();
  } catch (error) {
    if (error instanceof HttpError) return "(unreadable)";
    throw error;
  }
}

/** Seconds, from either form of Retry-After; null if it says nothing useful. */
export function parseRetryAfter(value: string | null, now: number): number | null {
  if (value === null) return null;
  const seconds = /^\s*\d+\s*$/.test(value) ? Number(value) : Date.parse(value) / 1000 - now;
  return Number.isFinite(seconds) ? Math.min(Math.max(0, seconds), MAX_RETRY_AFTER) : null;
}
