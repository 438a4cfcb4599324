// An HTTP/1.1 server on loopback that does what it is told, byte by byte: cut, stall, lie. Each request takes the next
// answer of the script; the last one answers all further requests.

import { createServer, type Server, type Socket } from "node:net";

export type RawRequest = {
  readonly method: string;
  readonly target: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
};

export type Answer = (request: RawRequest, socket: Socket) => void;

export type FaultServer = AsyncDisposable & {
  readonly port: number;
  readonly url: string;
  readonly requests: readonly RawRequest[];
};

export async function faultServer(...script: Answer[]): Promise<FaultServer> {
  const requests: RawRequest[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {}); // the client may go at any time
    let text = "";
    socket.on("data", (data) => {
      text += data.toString("latin1");
      for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
        const request = parseRequest(text.slice(0, end));
        text = text.slice(end + 4);
        const answer = script[Math.min(requests.length, script.length - 1)]!;
        requests.push(request);
        answer(request, socket);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function parseRequest(head: string): RawRequest {
  const [first = "", ...lines] = head.split("\r\n");
  const [method = "", target = ""] = first.split(" ");
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  return { method, target, headers };
}

function head(status: number, headers: Record<string, string | number>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Whatever\r\n${lines.join("")}\r\n`;
}

/** A whole answer; the connection stays open. */
export function answer(
  status: number,
  headers: Record<string, string | number> = {},
  body: string | Uint8Array = "",
): Answer {
  return (_, socket) => {
    socket.write(head(status, { "Content-Length": Buffer.byteLength(body), ...headers }));
    socket.write(body);
  };
}

export type FileOptions = {
  /** Sent with the answer and honoured in If-Range; null sends none. */
  readonly etag?: string | null;
  /** Honour Range; default true. */
  readonly ranges?: boolean;
  /** Send this many bytes of the body and then close the connection. */
  readonly cutAfter?: number;
  /** Send this many bytes of the body and then nothing more. */
  readonly stallAfter?: number;
  readonly headers?: Record<string, string | number>;
};

/** A file as an ordinary web server has it, with faults on request. */
export function file(content: Uint8Array, options: FileOptions = {}): Answer {
  const { etag = '"v1"', ranges = true, cutAfter, stallAfter } = options;
  return (request, socket) => {
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const same = request.headers["if-range"] === undefined || request.headers["if-range"] === etag;
    const start = ranges && range !== null && same ? Number(range[1]) : 0;
    const isPart = ranges && range !== null && same;
    const end = isPart && range[2] ? Math.min(Number(range[2]) + 1, content.length) : content.length;
    const body = content.subarray(start, end);
    const headers = {
      "Content-Length": body.length,
      ...(ranges ? { "Accept-Ranges": "bytes" } : {}),
      ...(etag === null ? {} : { ETag: etag }),
      ...(isPart ? { "Content-Range": `bytes ${start}-${end - 1}/${content.length}` } : {}),
      ...options.headers,
    };
    socket.write(head(isPart ? 206 : 200, headers));
    const limit = cutAfter ?? stallAfter;
    if (limit === undefined) {
      socket.write(body);
      return;
    }
    socket.write(body.subarray(0, limit), () => {
      // Half a close would look like an orderly end; a reset is what a dying server leaves.
      if (cutAfter !== undefined) socket.destroy();
    });
  };
}

/** A part that was not asked for, under the right status. */
export function lyingRange(content: Uint8Array, start: number): Answer {
  return (_, socket) => {
    const body = content.subarray(start);
    socket.write(
      head(206, {
        "Content-Length": body.length,
        "Content-Range": `bytes ${start}-${content.length - 1}/${content.length}`,
        ETag: '"v1"',
      }),
    );
    socket.write(body);
  };
}

/** Closes the connection without an answer. */
export const hangUp: Answer = (_, socket) => {
  socket.destroy();
};

/** Never answers. */
export const silence: Answer = () => {};
