// Listening for HTTP. TLS material is given as PEM text; the runtime refuses anything below TLS 1.2 (tested).
// The runtime cannot change the certificate of a server (Bun issue 43815), so a new one takes over the port.

import { preferNewestListener } from "./newest-listener.ts";
import { realResolveHost } from "./resolver.ts";

export type TlsServerOptions = {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  /** PEM of the CAs of clients: with it, a client without a certificate of theirs is refused. */
  readonly clientCa?: string | null;
  /** Oldest and newest version to speak; without them 1.2 and the newest known. */
  readonly minVersion?: TlsVersion;
  readonly maxVersion?: TlsVersion | null;
  /** TLS 1.2 cipher suites, OpenSSL's notation; null = the runtime's. */
  readonly ciphers?: string | null;
};

export type TlsVersion = "1.2" | "1.3";

/** The versions as numbers of the TLS protocol, which is what the runtime takes. */
export const TLS_VERSION_NUMBERS: Record<TlsVersion, number> = { "1.2": 0x0303, "1.3": 0x0304 };

export type ListenOptions = {
  readonly host: string;
  /** 0 takes a free port; see Listening.port. */
  readonly port: number;
  readonly tls: TlsServerOptions | null;
  /** True if replaceTls is going to be used: it has to be known before the socket is opened. */
  readonly replaceable?: boolean;
  /** Largest accepted request body in bytes. */
  readonly maxRequestBody: number;
  /**
   * Seconds of silence after which a connection is closed that has no request, only a part of one, or does not take its
   * answer: default 120, at most 255. The runtime looks every 4 s.
   */
  readonly idleTimeout?: number;
  readonly handle: HttpHandler;
};

/**
 * `peer`: the client's address. `unhurried` is to be called when the request's body has been read: from then on the answer may
 * take as long as it likes. A request that cannot have a body needs no call.
 */
export type HttpHandler = (
  request: Request,
  peer: string | null,
  unhurried: () => void,
) => Response | Promise<Response>;

export interface Listening {
  readonly port: number;
  /** Aborted when it has been told to stop: for those who look after it. */
  readonly stopped: AbortSignal;
  /**
   * Serves new connections with other TLS material. Nothing under way is disturbed: older connections are answered to
   * their end, and those without a request are closed after `patience` seconds.
   * @throws Error when this was not announced (ListenOptions.replaceable), the port cannot be shared, or it has been stopped
   */
  replaceTls(tls: TlsServerOptions, patience: number): void;
  /** Takes no new connection and resolves when the answers under way are out, after `grace` seconds at the latest. */
  stop(grace: number): Promise<void>;
}

/** @throws Error naming host and port when they cannot be bound. */
export type HttpListener = (options: ListenOptions) => Promise<Listening>;

const IDLE_TIMEOUT = 120;

/** Real listening sockets. */
export const realHttpListener: HttpListener = async (options) => {
  try {
    return await open(options);
  } catch (error) {
    // Of a host name without an address the runtime says whatever went wrong last elsewhere ("Is port 9999 in use?").
    await realResolveHost(options.host).catch((cause: unknown) => {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`cannot listen on ${options.host} port ${options.port}: ${reason}`, { cause: error });
    });
    throw error;
  }
};

async function open(options: ListenOptions): Promise<Listener> {
  if (!options.replaceable) return new Listener(options, bind(options, { shared: false }));
  // The test whether the port is free: a shared one could be taken by any other process of this user that shares.
  const probe = bind(options, { shared: false });
  const port = probe.port ?? options.port;
  await probe.stop(true);
  const fixed = { ...options, port };
  const listener = new Listener(fixed, bind(fixed, { shared: true }));
  try {
    preferNewestListener(port);
  } catch {
    // An unusual kernel or C library: serving works, and a replacement may reset a connection made in that very moment, which
    // clients repeat. Not worth an agent that does not start.
  }
  return listener;
}

/** One of the runtime's servers, and whether it is on its way out. */
type Bound = { readonly port: number | undefined; leaving: boolean; stop(now?: boolean): Promise<void> };

class Listener implements Listening {
  readonly port: number;
  readonly #options: ListenOptions;
  readonly #stopping = new AbortController();
  #current: Bound;
  /** Those that still answer on older connections. */
  readonly #former = new Set<Bound>();
  /** Closes the connections of the last of them that have no request; null when that is done. */
  #closeIdle: { readonly timer: Timer; readonly now: () => void } | null = null;

  constructor(options: ListenOptions, first: Bound) {
    this.#options = options;
    this.#current = first;
    this.port = first.port ?? options.port;
  }

  get stopped(): AbortSignal {
    return this.#stopping.signal;
  }

  replaceTls(tls: TlsServerOptions, patience: number): void {
    if (this.stopped.aborted) throw new Error("this listener has been stopped");
    if (!this.#options.replaceable) throw new Error("this listener was not opened to be replaced");
    // More than two sockets on the port would upset the choice among them.
    this.#closeIdle?.now();
    const next = bind({ ...this.#options, tls }, { shared: true });
    const former = this.#current;
    this.#current = next;
    former.leaving = true;
    this.#former.add(former);
    const now = () => {
      clearTimeout(timer);
      this.#closeIdle = null;
      void former.stop().then(() => this.#former.delete(former));
    };
    const timer = setTimeout(now, patience * 1000);
    timer.unref();
    this.#closeIdle = { timer, now };
  }

  async stop(grace: number): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#closeIdle?.timer);
    const servers = [this.#current, ...this.#former];
    // stop() resolves when the last answer is out; a client that never reads must not hold the agent.
    let timer: Timer | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, grace * 1000);
    });
    await Promise.race([Promise.all(servers.map((server) => server.stop())), patience]);
    clearTimeout(timer);
    await Promise.all(servers.map((server) => server.stop(true)));
  }
}

function tlsOptions({
  cert,
  key,
  clientCa,
  minVersion,
  maxVersion,
  ciphers,
}: TlsServerOptions): Bun.TLSOptions {
  const tls = {
    cert,
    key,
    minVersion: TLS_VERSION_NUMBERS[minVersion ?? "1.2"],
    ...(maxVersion == null ? {} : { maxVersion: TLS_VERSION_NUMBERS[maxVersion] }),
    ...(ciphers == null ? {} : { ciphers }),
    ...(clientCa == null ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }),
  };
  return tls;
}

function bind(options: ListenOptions, { shared }: { readonly shared: boolean }): Bound {
  const idleTimeout = options.idleTimeout ?? IDLE_TIMEOUT;
  try {
    const server = Bun.serve({
      hostname: options.host,
      port: options.port,
      reusePort: shared,
      idleTimeout,
      maxRequestBodySize: options.maxRequestBody,
      ...(options.tls === null ? {} : { tls: tlsOptions(options.tls) }),
      fetch(request) {
        // A waiting request may be silent for hours; 0 turns the idle time-out off.
        const unhurried = () => server.timeout(request, 0);
        if (request.method === "GET" || request.method === "HEAD") unhurried();
        const finish = (response: Response) => {
          server.timeout(request, idleTimeout);
          if (bound.leaving) response.headers.set("Connection", "close");
          // The runtime dates answers by itself, but in a compiled executable not those to HEAD.
          if (request.method === "HEAD") response.headers.set("Date", new Date().toUTCString());
          return response;
        };
        const answer = options.handle(request, plainAddress(server.requestIP(request)?.address), unhurried);
        return answer instanceof Promise ? answer.then(finish) : finish(answer);
      },
    });
    const bound: Bound = { port: server.port, leaving: false, stop: (now) => server.stop(now) };
    return bound;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot listen on ${options.host} port ${options.port}: ${reason}`, { cause: error });
  }
}

/** A dual-stack socket shows IPv4 peers as `::ffff:192.0.2.1`; people and logs want the address itself. */
function plainAddress(address: string | undefined): string | null {
  return address?.replace(/^::ffff:(?=\d+\.)/, "") ?? null;
}
