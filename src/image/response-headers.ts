// What the header fields of an image server's answer promise of the body. Source: RFC 9110, sections 8.6, 8.8, 14.

import type { HttpResponse } from "../system/http-client.ts";
import { type Continuation, HttpFault } from "./http-get.ts";

/** Null if the server did not say. */
export function contentLength({ headers }: HttpResponse): number | null {
  const value = headers.get("content-length");
  return value !== null && /^\d+$/.test(value) ? Number(value) : null;
}

/** For If-Range; null if there is nothing that tells two versions of a file apart. */
export function strongValidator({ headers }: HttpResponse): string | null {
  if (headers.get("accept-ranges")?.toLowerCase() === "none") return null;
  const tag = headers.get("etag");
  return tag !== null && !tag.startsWith("W/") ? tag : headers.get("last-modified");
}

/**
 * A server that answers 206 with another part than asked for would put bytes in the wrong place.
 * @throws HttpFault that asks for a new start
 */
export function requireRange(
  response: HttpResponse,
  { offset, length }: Continuation,
  total: number | null,
): void {
  const range = response.headers.get("content-range") ?? "";
  const [, start, end, size] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range) ?? [];
  const fits =
    Number(start) === offset &&
    (length === null || Number(end) === offset + length - 1) &&
    (total === null || size === "*" || Number(size) === total);
  if (fits) return;
  const wanted = `${offset}-${length === null ? "" : offset + length - 1} of ${total ?? "an unknown number"}`;
  throw new HttpFault(`the server sent '${range}' when asked for bytes ${wanted}`, { startOver: true });
}
