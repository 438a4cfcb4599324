// Ironic's API on a real socket, whose answers are a function: for what the executable's clients do with them.

import type { TestCertificate } from "./certificate.ts";

export type Received = {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Headers;
  /** Parsed; null if there was none. */
  // biome-ignore lint/suspicious/noExplicitAny: the tests look into bodies of every shape.
  readonly body: any;
  /** Seconds, monotonic. */
  readonly time: number;
};

export type ScriptedIronic = AsyncDisposable & {
  readonly url: string;
  readonly port: number;
  /** In order. */
  readonly received: readonly Received[];
  /** The first request for which `test` is true, waited for. */
  first(test: (request: Received) => boolean): Promise<Received>;
};

export type ScriptedOptions = {
  /** Highest version of the API. */
  readonly version?: string;
  readonly tls?: TestCertificate;
  /** PEM: only clients with a certificate of this authority get in. */
  readonly clientCa?: string;
  /** Null for what an ordinary Ironic says: its version, and nothing else. */
  readonly answer: (request: Received, before: readonly Received[]) => Response | Promise<Response> | null;
};

export const isLookup = ({ path }: Received) => path.startsWith("/v1/lookup");
export const isHeartbeat = ({ path }: Received) => path.startsWith("/v1/heartbeat");
export const accepted = () => new Response(null, { status: 202 });

export function scriptedIronic(options: ScriptedOptions): ScriptedIronic {
  const { version = "1.82", tls, clientCa, answer } = options;
  const received: Received[] = [];
  const waiting: {
    readonly test: (request: Received) => boolean;
    readonly take: (request: Received) => void;
  }[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    ...(tls === undefined
      ? {}
      : {
          tls: {
            cert: tls.cert,
            key: tls.key,
            ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }),
          },
        }),
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const text = await request.text();
      const { method, headers } = request;
      const asked: Received = {
        method,
        path: pathname + search,
        headers,
        body: text === "" ? null : JSON.parse(text),
        time: performance.now() / 1000,
      };
      const before = [...received];
      received.push(asked);
      for (const { test, take } of waiting) if (test(asked)) take(asked);
      const scripted = answer(asked, before);
      if (scripted !== null) return scripted;
      if (pathname === "/") return Response.json({ default_version: { id: "v1", version } });
      return Response.json({ error_message: "{}" }, { status: 404 });
    },
  });
  const scheme = tls === undefined ? "http" : "https";
  const port = server.port ?? 0;
  return {
    url: `${scheme}://127.0.0.1:${port}`,
    port,
    received,
    first: async (test) =>
      received.find(test) ??
      new Promise((resolve) => {
        waiting.push({ test, take: resolve });
      }),
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}
