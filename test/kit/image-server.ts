// An HTTP server for images that can also misbehave. It is built on node:http rather than Bun.serve because a server
// that has to lie about lengths and break off in the middle needs the connection in its own hands. Files are streamed
// from the disk with back-pressure, so their size does not matter.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { basename, join, normalize } from "node:path";

export type ImageFault =
  /** Answers with this status and a short text. */
  | { kind: "status"; status: number; headers?: Record<string, string> }
  | { kind: "redirect"; location: string; status?: 301 | 302 | 303 | 307 | 308 }
  /** Closes the connection after this many bytes of the body, having announced all of them. */
  | { kind: "cut"; afterBytes: number }
  /** Sends nothing more after this many bytes and keeps the connection open. */
  | { kind: "stall"; afterBytes: number }
  /** Announces this Content-Length instead of the true one; too high a one ends in a closed connection. */
  | { kind: "length"; announced: number }
  /** Ignores Range: always 200 with the whole file. */
  | { kind: "no-range" };

export interface ImageServerOptions {
  /** A directory whose files are served by name, or one file. */
  root: string;
  hostname?: string;
  port?: number;
  tls?: { cert: string; key: string };
}

/** One request as it was answered. */
export interface ImageRequest {
  method: string;
  path: string;
  headers: Readonly<IncomingMessage["headers"]>;
  status: number;
  /** Bytes of the body handed to the connection. */
  sentBytes: number;
}

const CHUNK = 1024 * 1024;

export class ImageServer implements AsyncDisposable {
  /** All requests so far, in order of arrival. */
  readonly requests: ImageRequest[] = [];
  readonly url: string;
  readonly #server: Server;
  readonly #root: string;
  readonly #faults = new Map<string, { fault: ImageFault; times: number }>();

  private constructor(server: Server, root: string, url: string) {
    this.#server = server;
    this.#root = root;
    this.url = url;
  }

  static async start(options: ImageServerOptions): Promise<ImageServer> {
    const hostname = options.hostname ?? "127.0.0.1";
    const server = options.tls === undefined ? createServer() : createTlsServer(options.tls);
    // A stalled answer is a fault that lasts as long as the client bears it.
    server.requestTimeout = 0;
    const listening = Promise.withResolvers<void>();
    server.once("error", listening.reject);
    server.listen(options.port ?? 0, hostname, listening.resolve);
    await listening.promise;
    const { port } = server.address() as AddressInfo;
    const host = hostname.includes(":") ? `[${hostname}]` : hostname;
    const url = `${options.tls === undefined ? "http" : "https"}://${host}:${port}`;
    const images = new ImageServer(server, options.root, url);
    server.on("request", (request, response) => images.#onRequest(request, response));
    return images;
  }

  /** The URL of a file of the directory (or any path a fault was set for). */
  urlOf(name: string): string {
    return `${this.url}/${name.split("/").map(encodeURIComponent).join("/")}`;
  }

  /** The next `times` requests for `name` go wrong like this; without `times`, all of them. */
  setFault(name: string, fault: ImageFault, times = Number.POSITIVE_INFINITY): void {
    this.#faults.set(`/${name}`, { fault, times });
  }

  clearFaults(): void {
    this.#faults.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = Promise.withResolvers<void>();
    this.#server.close(() => closed.resolve());
    this.#server.closeAllConnections();
    await closed.promise;
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const path = new URL(request.url ?? "/", "http://images").pathname;
    const record: ImageRequest = {
      method: request.method ?? "",
      path: decodeURIComponent(path),
      headers: request.headers,
      status: 0,
      sentBytes: 0,
    };
    this.requests.push(record);
    this.#answer(record, response).catch(() => {
      // The client went away or a fault ended the connection: there is nobody to tell.
      response.destroy();
    });
  }

  async #answer(request: ImageRequest, response: ServerResponse): Promise<void> {
    const head = (status: number, headers: Record<string, string> = {}) => {
      request.status = status;
      response.writeHead(status, headers);
    };
    const plain = (status: number, headers: Record<string, string> = {}) => {
      const text = `${status}\n`;
      head(status, { "Content-Type": "text/plain", "Content-Length": String(text.length), ...headers });
      response.end(request.method === "HEAD" ? undefined : text);
    };

    const fault = this.#takeFault(request.path);
    if (fault?.kind === "status") return plain(fault.status, fault.headers);
    if (fault?.kind === "redirect") return plain(fault.status ?? 302, { Location: fault.location });
    if (request.method !== "GET" && request.method !== "HEAD") return plain(405, { Allow: "GET, HEAD" });
    const file = await this.#find(request.path);
    if (file === null) return plain(404);

    const range = fault?.kind === "no-range" ? null : requestedRange(request.headers, file);
    if (range === "unsatisfiable") return plain(416, { "Content-Range": `bytes */${file.size}` });
    const { first, last } = range ?? { first: 0, last: file.size - 1 };
    const length = last - first + 1;
    const announced = fault?.kind === "length" ? fault.announced : length;
    head(range === null ? 200 : 206, {
      "Content-Type": "application/octet-stream",
      "Content-Length": String(announced),
      ETag: file.etag,
      "Last-Modified": file.modified,
      ...(fault?.kind === "no-range" ? {} : { "Accept-Ranges": "bytes" }),
      ...(range === null ? {} : { "Content-Range": `bytes ${first}-${last}/${file.size}` }),
    });
    if (request.method === "HEAD" || length === 0) return void response.end();

    const stopAfter =
      fault?.kind === "cut" || fault?.kind === "stall" ? fault.afterBytes : Math.min(length, announced);
    await sendBytes(request, response, file.path, first, Math.min(length, stopAfter));
    if (fault?.kind === "stall") return;
    if (fault?.kind === "cut" || announced > length) return void response.destroy();
    response.end();
  }

  #takeFault(path: string): ImageFault | undefined {
    const entry = this.#faults.get(path);
    if (entry === undefined) return undefined;
    entry.times -= 1;
    if (entry.times <= 0) this.#faults.delete(path);
    return entry.fault;
  }

  async #find(path: string): Promise<ServedFile | null> {
    const root = await stat(this.#root);
    const name = normalize(path);
    // normalize() has taken out every "..", so what is joined stays below the root.
    const file = root.isDirectory() ? join(this.#root, name) : this.#root;
    if (!root.isDirectory() && name !== `/${basename(this.#root)}`) return null;
    try {
      const found = await stat(file);
      if (!found.isFile()) return null;
      return {
        path: file,
        size: found.size,
        etag: `"${found.size.toString(16)}-${Math.round(found.mtimeMs).toString(16)}"`,
        modified: found.mtime.toUTCString(),
      };
    } catch {
      // Not there or not to be read: the client gets a 404 either way.
      return null;
    }
  }
}

interface ServedFile {
  path: string;
  size: number;
  etag: string;
  modified: string;
}

/** The one range asked for, null for the whole file. `If-Range` with another ETag or date asks for the whole file. */
function requestedRange(
  headers: IncomingMessage["headers"],
  file: ServedFile,
): { first: number; last: number } | null | "unsatisfiable" {
  const match = /^bytes=(\d*)-(\d*)$/.exec(headers.range ?? "");
  if (match === null || (match[1] === "" && match[2] === "")) return null;
  const condition = headers["if-range"];
  if (condition !== undefined && condition !== file.etag && condition !== file.modified) return null;
  const end = file.size - 1;
  if (match[1] === "") {
    const suffix = Number(match[2]);
    return suffix === 0 ? "unsatisfiable" : { first: Math.max(0, file.size - suffix), last: end };
  }
  const first = Number(match[1]);
  const last = match[2] === "" ? end : Math.min(Number(match[2]), end);
  return first > end || last < first ? "unsatisfiable" : { first, last };
}

/** Streams `count` bytes and leaves the response open. */
async function sendBytes(
  request: ImageRequest,
  response: ServerResponse,
  path: string,
  first: number,
  count: number,
): Promise<void> {
  if (count === 0) return response.flushHeaders();
  const source = createReadStream(path, { start: first, end: first + count - 1, highWaterMark: CHUNK });
  for await (const chunk of source) {
    if (response.destroyed) throw new Error("The client closed the connection.");
    request.sentBytes += chunk.length;
    // A slow client slows the reading down.
    if (!response.write(chunk)) await eventOf(response, "drain");
  }
}

function eventOf(response: ServerResponse, event: "drain"): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void) => () => {
      response.off(event, happened);
      response.off("close", closed);
      end();
    };
    const happened = settle(resolve);
    const closed = settle(() => reject(new Error("The client closed the connection.")));
    response.once(event, happened);
    response.once("close", closed);
  });
}
