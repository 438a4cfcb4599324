// The image server over real connections: what it serves, and that it misbehaves exactly as told.

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ImageServer } from "./image-server.ts";

const CONTENT = new Uint8Array(3_000_000).map((_, index) => index % 251);
let directory: string;
let server: ImageServer;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "images-"));
  await writeFile(join(directory, "disk.raw"), CONTENT);
  await writeFile(join(directory, "empty"), "");
});
afterAll(() => rm(directory, { recursive: true }));
beforeEach(async () => {
  server = await ImageServer.start({ root: directory });
});
afterEach(() => server[Symbol.asyncDispose]());

function get(headers: Record<string, string> = {}, init: RequestInit = {}): Promise<Response> {
  return fetch(server.urlOf("disk.raw"), { headers, ...init });
}

/** Downloads over a bare connection, since fetch() throws away what it has when a body breaks off. */
async function download(): Promise<{ announced: number; bytes: number }> {
  const { hostname, port, pathname } = new URL(server.urlOf("disk.raw"));
  const received: Uint8Array[] = [];
  const closed = Promise.withResolvers<void>();
  await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      open: (socket) => void socket.write(`GET ${pathname} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
      data: (_, chunk) => void received.push(chunk),
      close: () => closed.resolve(),
    },
  });
  await closed.promise;
  const all = Buffer.concat(received);
  const head = all.subarray(0, all.indexOf("\r\n\r\n") + 4);
  return {
    announced: Number(/content-length: (\d+)/i.exec(head.toString())?.[1]),
    bytes: all.length - head.length,
  };
}

test("serves the whole file with length and ETag", async () => {
  const response = await get();
  expect(response.status).toBe(200);
  expect(response.headers.get("content-length")).toBe("3000000");
  expect(response.headers.get("etag")).toMatch(/^".+"$/);
  expect(new Uint8Array(await response.arrayBuffer())).toEqual(CONTENT);
  expect(server.requests).toMatchObject([
    { method: "GET", path: "/disk.raw", status: 200, sentBytes: 3_000_000 },
  ]);
});

test("HEAD has the headers and no body", async () => {
  const response = await get({}, { method: "HEAD" });
  expect(response.headers.get("content-length")).toBe("3000000");
  expect(await response.text()).toBe("");
});

test.each([
  ["bytes=10-19", 10, 19],
  ["bytes=2999990-", 2_999_990, 2_999_999],
  ["bytes=-5", 2_999_995, 2_999_999],
  ["bytes=2999998-9999999", 2_999_998, 2_999_999],
])("serves the range %s", async (range, first, last) => {
  const response = await get({ Range: range });
  expect(response.status).toBe(206);
  expect(response.headers.get("content-range")).toBe(`bytes ${first}-${last}/3000000`);
  expect(new Uint8Array(await response.arrayBuffer())).toEqual(CONTENT.slice(first, last + 1));
});

test("a range beyond the end is 416", async () => {
  expect((await get({ Range: "bytes=3000000-" })).status).toBe(416);
});

test("If-Range: the rest of the same file, all of another", async () => {
  const etag = (await get({}, { method: "HEAD" })).headers.get("etag")!;
  expect((await get({ Range: "bytes=10-", "If-Range": etag })).status).toBe(206);
  expect((await get({ Range: "bytes=10-", "If-Range": '"other"' })).status).toBe(200);
});

test("an empty file is an empty answer", async () => {
  const response = await fetch(server.urlOf("empty"));
  expect([response.status, await response.text()]).toEqual([200, ""]);
});

test.each(["/none", "/..%2f..%2fetc/passwd", "/../../etc/passwd", "/"])("%s is not there", async (path) => {
  expect((await fetch(server.url + path)).status).toBe(404);
});

test("a single file as root is served by its name only", async () => {
  await using single = await ImageServer.start({ root: join(directory, "disk.raw") });
  expect((await fetch(single.urlOf("disk.raw"), { method: "HEAD" })).status).toBe(200);
  expect((await fetch(single.urlOf("empty"))).status).toBe(404);
});

test("cut: announces all, sends so many bytes, closes; a given number of times", async () => {
  server.setFault("disk.raw", { kind: "cut", afterBytes: 1_234_567 }, 1);
  expect(await download()).toEqual({ announced: 3_000_000, bytes: 1_234_567 });
  expect(await download()).toEqual({ announced: 3_000_000, bytes: 3_000_000 });
});

test("stall: sends so many bytes and then nothing", async () => {
  server.setFault("disk.raw", { kind: "stall", afterBytes: 100_000 });
  const response = await get();
  let bytes = 0;
  const reader = response.body!.getReader();
  while (bytes < 100_000) bytes += (await reader.read()).value!.length;
  const more = await Promise.race([reader.read().then(() => "more"), Bun.sleep(50).then(() => "silence")]);
  expect([bytes, more]).toEqual([100_000, "silence"]);
  await reader.cancel();
});

test("length: too low a one cuts the body short, too high a one breaks it off", async () => {
  server.setFault("disk.raw", { kind: "length", announced: 1000 });
  expect(await download()).toEqual({ announced: 1000, bytes: 1000 });
  server.setFault("disk.raw", { kind: "length", announced: 4_000_000 });
  expect(await download()).toEqual({ announced: 4_000_000, bytes: 3_000_000 });
});

test("status, redirect and no-range", async () => {
  server.setFault("disk.raw", { kind: "status", status: 503, headers: { "Retry-After": "1" } });
  const unavailable = await get();
  expect([unavailable.status, unavailable.headers.get("retry-after")]).toEqual([503, "1"]);
  server.setFault("disk.raw", { kind: "no-range" });
  expect((await get({ Range: "bytes=5-" })).status).toBe(200);
  server.clearFaults();
  server.setFault("moved", { kind: "redirect", location: server.urlOf("disk.raw") });
  expect((await fetch(server.urlOf("moved"), { method: "HEAD" })).status).toBe(200);
});
