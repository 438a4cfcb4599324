// Listening for HTTP. TLS material is given as PEM text; the runtime refuses anything below TLS 1.2 (tested).

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
  /** Largest accepted request body in bytes. */
  readonly maxRequestBody: number;
  readonly handle: (request: Request, peer: string | null) => Response | Promise<Response>;
};

export interface Listening {
  readonly port: number;
  /** Takes no new connection and resolves when the answers under way are out, after `grace` seconds at the latest. */
  stop(grace: number): Promise<void>;
}

/** @throws Error naming host and port when they cannot be bound. */
export type HttpListener = (options: ListenOptions) => Promise<Listening>;

/** Real listening sockets. */
export const realHttpListener: HttpListener = async (options) => {
  const server = bind(options);
  return {
    port: server.port ?? options.port,
    async stop(grace) {
      // stop() resolves when the last answer is out; a client that never reads must not hold the agent.
      let timer: Timer | undefined;
      const patience = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, grace * 1000);
      });
      await Promise.race([server.stop(), patience]);
      clearTimeout(timer);
      await server.stop(true);
    },
  };
};

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

function bind(options: ListenOptions): Bun.Server<undefined> {
  try {
    return Bun.serve({
      hostname: options.host,
      port: options.port,
      // A waiting request may be silent for hours; 0 turns the idle time-out off.
      idleTimeout: 0,
      maxRequestBodySize: options.maxRequestBody,
      ...(options.tls === null ? {} : { tls: tlsOptions(options.tls) }),
      fetch: (request, server) => options.handle(request, plainAddress(server.requestIP(request)?.address)),
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot listen on ${options.host} port ${options.port}: ${reason}`, { cause: error });
  }
}

/** A dual-stack socket shows IPv4 peers as `::ffff:192.0.2.1`; people and logs want the address itself. */
function plainAddress(address: string | undefined): string | null {
  return address?.replace(/^::ffff:(?=\d+\.)/, "") ?? null;
}
