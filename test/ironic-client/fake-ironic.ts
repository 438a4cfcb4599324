// An Ironic API as a function, for tests of what the agent's clients do with its answers: no sockets, no time.

import type { Json } from "../../src/json.ts";
import { type HttpClient, HttpError, type HttpRequest } from "../../src/system/http-client.ts";

export type Answer = { readonly status: number; readonly body?: Json | string } | "refused";

export type FakeIronic = {
  readonly http: HttpClient;
  /** Everything that was asked, in order. */
  readonly requests: HttpRequest[];
};

/** `answer` decides by method and path (query included); `GET /` is answered with `version` unless it says otherwise. */
export function fakeIronic(
  version: string,
  answer: (request: HttpRequest, path: string) => Answer | null,
): FakeIronic {
  const requests: HttpRequest[] = [];
  const http: HttpClient = async (request) => {
    request.signal?.throwIfAborted();
    requests.push(request);
    const url = new URL(request.url);
    const path = url.pathname + url.search;
    const given =
      answer(request, path) ??
      (path === "/" ? { status: 200, body: { default_version: { id: "v1", version } } } : { status: 404 });
    if (given === "refused")
      throw new HttpError(`${request.method} ${request.url}: ECONNREFUSED`, "ECONNREFUSED");
    const body = given.body === undefined ? "" : given.body;
    const text = typeof body === "string" ? body : JSON.stringify(body);
    return {
      status: given.status,
      headers: new Headers(),
      body: new ReadableStream<Uint8Array>(),
      text: async () => text,
    };
  };
  return { http, requests };
}

/** Ironic's error body: the fault as JSON inside a string. */
export function fault(faultstring: string): Json {
  return { error_message: JSON.stringify({ faultcode: "Client", faultstring, debuginfo: null }) };
}
