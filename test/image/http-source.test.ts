import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import {
  ImageChecksumError,
  ImageDownloadError,
  ImageDownloadFatalError,
  ImageDownloadTimeoutError,
  ImageWriteError,
} from "../../src/errors.ts";
import { type DownloadPlan, download, downloadBytes, type ImageBody } from "../../src/image/http-source.ts";
import type { Clock } from "../../src/system/clock.ts";
import { createSystem } from "../../src/system/real.ts";
import type { System } from "../../src/system/system.ts";
import {
  answer,
  type FaultServer,
  faultServer,
  file,
  hangUp,
  lyingRange,
  silence,
} from "../support/fault-server.ts";

// Some wait for a real second of silence, on a machine that may be busy.
setDefaultTimeout(60_000);

const CONTENT = Buffer.alloc(3 * 1024 * 1024 + 123, "The quick brown fox. ");
const servers: FaultServer[] = [];

async function serve(...script: Parameters<typeof faultServer>): Promise<FaultServer> {
  const server = await faultServer(...script);
  servers.push(server);
  return server;
}

afterEach(async () => {
  for (const server of servers.splice(0)) await server[Symbol.asyncDispose]();
});

/** The real system with pauses between rounds recorded instead of slept; time limits stay real. */
function quickSystem(): System & { pauses: number[] } {
  const system = createSystem({
    name: "test",
    debug: false,
    json: false,
    file: "/dev/null",
    stream: "stderr",
  });
  const pauses: number[] = [];
  const clock: Clock = {
    ...system.clock,
    sleep: (seconds, signal) => {
      if (seconds < 7) return system.clock.sleep(seconds, signal);
      pauses.push(seconds);
      return Promise.resolve();
    },
  };
  return { ...system, clock, pauses };
}

/** Pauses are 10 s (recorded), the silence limit is 1 s (real). */
function plan(urls: string[], more: Partial<DownloadPlan> = {}): DownloadPlan {
  return {
    imageId: "img",
    urls,
    settings: {
      proxy: { proxies: {}, noProxy: null },
      tls: { verify: true, ca: null, certificate: null },
      authorization: null,
      timeout: 1,
    },
    retries: 2,
    interval: 10,
    maxDuration: 0,
    ...more,
  };
}

async function readAll(body: ImageBody): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of body.chunks) parts.push(chunk.slice());
  return Buffer.concat(parts);
}

/** Downloads and gives content and all deliveries' sources; fails with what download throws. */
async function fetchImage(system: System, wanted: DownloadPlan, signal = new AbortController().signal) {
  const sources: string[] = [];
  const content = await download(system, wanted, signal, async (body) => {
    sources.push(body.source);
    return readAll(body);
  });
  return { content, sources };
}

async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("it succeeded");
}

describe("one URL", () => {
  test("delivers the body whole, with its length, asking for identity", async () => {
    const server = await serve(file(CONTENT));
    const lengths: (number | null)[] = [];
    const content = await download(
      quickSystem(),
      plan([`${server.url}/a?sig=1`]),
      new AbortController().signal,
      (body) => {
        lengths.push(body.length);
        expect(body.source).toBe(`${server.url}/a?***`);
        return readAll(body);
      },
    );
    expect(content.equals(CONTENT)).toBe(true);
    expect(lengths).toEqual([CONTENT.length]);
    expect(server.requests[0]?.headers["accept-encoding"]).toBe("identity");
    expect(server.requests[0]?.target).toBe("/a?sig=1");
  });

  // deploy 11.16; deploy 10, bug 1
  test("a cut connection goes on at the byte it stopped at", async () => {
    const server = await serve(file(CONTENT, { cutAfter: 2_000_000 }), file(CONTENT));
    const system = quickSystem();
    const { content, sources } = await fetchImage(system, plan([server.url]));
    expect(content.equals(CONTENT)).toBe(true);
    expect(sources).toHaveLength(1);
    expect(server.requests).toHaveLength(2);
    const resumedAt = Number(/^bytes=(\d+)-$/.exec(server.requests[1]?.headers.range ?? "")?.[1]);
    expect(resumedAt).toBeGreaterThan(0);
    expect(resumedAt).toBeLessThanOrEqual(2_000_000);
    expect(server.requests[1]?.headers["if-range"]).toBe('"v1"');
    expect(system.pauses.filter((seconds) => seconds === 10)).toHaveLength(1);
  });

  test("a stalled connection goes on too, after the time-out", async () => {
    const server = await serve(file(CONTENT, { stallAfter: 1_000_000 }), file(CONTENT));
    const { content } = await fetchImage(quickSystem(), plan([server.url]));
    expect(content.equals(CONTENT)).toBe(true);
    expect(server.requests).toHaveLength(2);
  });

  test("several cuts in a row share one budget", async () => {
    const cut = file(CONTENT, { cutAfter: 1_000_000 });
    const enough = await serve(cut, cut, file(CONTENT));
    expect((await fetchImage(quickSystem(), plan([enough.url]))).content.equals(CONTENT)).toBe(true);
    const tooMany = await serve(cut);
    const error = await failure(fetchImage(quickSystem(), plan([tooMany.url], { retries: 1 })));
    expect(error).toBeInstanceOf(ImageDownloadError);
    expect(tooMany.requests).toHaveLength(2);
  });

  test("a server refusing connections for a moment does not lose what has come", async () => {
    const server = await serve(file(CONTENT, { cutAfter: 1_000_000 }), hangUp, file(CONTENT));
    const { content, sources } = await fetchImage(quickSystem(), plan([server.url]));
    expect(content.equals(CONTENT)).toBe(true);
    expect(sources).toHaveLength(1);
    expect(server.requests[2]?.headers.range).toBeDefined();
  });

  const cannotGoOn = [
    ["no ranges", file(CONTENT, { cutAfter: 1_000_000, etag: null, ranges: false }), file(CONTENT)],
    ["ranges ignored", file(CONTENT, { cutAfter: 1_000_000 }), file(CONTENT, { ranges: false })],
    ["another version by then", file(CONTENT, { cutAfter: 1_000_000 }), file(CONTENT, { etag: '"v2"' })],
    ["a weak validator", file(CONTENT, { cutAfter: 1_000_000, etag: 'W/"v1"' }), file(CONTENT)],
    ["another part than asked for", file(CONTENT, { cutAfter: 1_000_000 }), lyingRange(CONTENT, 7)],
    ["416", file(CONTENT, { cutAfter: 1_000_000 }), answer(416)],
  ] as const;
  test.each(cannotGoOn)("starts over when the server cannot go on: %s", async (_, first, second) => {
    const server = await serve(first, second, file(CONTENT));
    const { content, sources } = await fetchImage(quickSystem(), plan([server.url]));
    expect(content.equals(CONTENT)).toBe(true);
    expect(sources).toHaveLength(2);
  });

  // deploy 11.17; deploy 10, bug 8
  test("a body shorter than its Content-Length is never accepted", async () => {
    const server = await serve((_, socket) => {
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789");
    });
    const error = await failure(fetchImage(quickSystem(), plan([server.url])));
    expect(error).toBeInstanceOf(ImageDownloadError);
    expect(error).not.toBeInstanceOf(ImageDownloadFatalError);
    expect(server.requests).toHaveLength(3);
  });

  test("an unfinished chunked body is never accepted", async () => {
    const server = await serve((_, socket) => {
      socket.end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    });
    expect(await failure(fetchImage(quickSystem(), plan([server.url])))).toBeInstanceOf(ImageDownloadError);
  });

  test("a chunked body without a length is delivered", async () => {
    const server = await serve((_, socket) => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    });
    const { content } = await fetchImage(quickSystem(), plan([server.url]));
    expect(content.toString()).toBe("hello");
  });

  // deploy 11.18; deploy 10, bug 2
  test("a server that never answers costs the time-out, once per attempt", async () => {
    const server = await serve(silence);
    const error = await failure(fetchImage(quickSystem(), plan([server.url], { retries: 0 })));
    expect((error as ImageDownloadError).details).toContain("no answer within 1 s");
  });

  test("silence in the middle has the reference's text when retries are used up", async () => {
    const server = await serve(file(CONTENT, { stallAfter: 10, etag: null }));
    const error = await failure(fetchImage(quickSystem(), plan([server.url], { retries: 0 })));
    expect((error as ImageDownloadError).details).toMatch(
      /^Download of image img failed: URL: http:\S+; time: \d+\.\d seconds\. Error: Timed out reading next chunk from webserver$/,
    );
  });

  // contract 10.46, with the 503 below and the second URL
  // deploy 11.14; deploy 10, bug 5
  test("404 is final at once, with the answer's text and without its secrets", async () => {
    const server = await serve(
      answer(404, { "Set-Cookie": "session=secret", "X-Hint": "gone" }, "no such image"),
    );
    const error = await failure(fetchImage(quickSystem(), plan([`${server.url}/i?sig=secret`])));
    expect(error).toBeInstanceOf(ImageDownloadFatalError);
    const { details } = error as ImageDownloadFatalError;
    expect(details).toContain(
      `Received status code 404 from ${server.url}/i?***, expected 200. Response body: no such image`,
    );
    expect(details).toContain("gone");
    expect(details).not.toContain("secret");
    expect(server.requests).toHaveLength(1);
  });

  // deploy 11.22: Azure and others sign a URL by a parameter of a name that no list of secrets has.
  const breaking: Record<string, () => Promise<string>> = {
    "nobody listens": async () => "http://127.0.0.1:1",
    "no answer comes": async () => (await serve(silence)).url,
    "the connection breaks in the body": async () =>
      (await serve(file(CONTENT, { cutAfter: 1000, etag: null, ranges: false }))).url,
  };
  for (const [name, url] of Object.entries(breaking))
    test(`the query of a URL is shown to nobody when ${name}`, async () => {
      const signed = `${await url()}/i?sv=SHOWN&sig=SHOWN&token=SHOWN`;
      const error = await failure(fetchImage(quickSystem(), plan([signed], { retries: 0 })));
      const { details } = error as ImageDownloadError;
      expect(details).toContain("/i?***; time: ");
      expect(details).not.toContain("SHOWN");
    });

  // deploy 11.14
  test("503 is retried with the interval, then listed", async () => {
    const server = await serve(answer(503));
    const system = quickSystem();
    const error = await failure(fetchImage(system, plan([server.url])));
    expect(error).toBeInstanceOf(ImageDownloadError);
    expect(error).not.toBeInstanceOf(ImageDownloadFatalError);
    expect(server.requests).toHaveLength(3);
    expect(system.pauses).toEqual([10, 10]);
  });

  test("503 and then the image is a success", async () => {
    const server = await serve(answer(503), file(CONTENT));
    expect((await fetchImage(quickSystem(), plan([server.url]))).content.equals(CONTENT)).toBe(true);
  });

  // deploy 11.15
  test("429 waits as long as the server asks", async () => {
    const server = await serve(answer(429, { "Retry-After": 42 }), file(CONTENT));
    const system = quickSystem();
    await fetchImage(system, plan([server.url]));
    expect(system.pauses).toEqual([42]);
  });

  // deploy 11.23
  const packings: [string, (bytes: Uint8Array) => Uint8Array][] = [
    ["gzip", gzipSync],
    ["x-gzip", gzipSync],
    ["deflate", deflateSync],
    ["zstd", zstdCompressSync],
  ];
  describe.each(packings)("a body packed with %s for the way", (encoding, pack) => {
    const headers = { "Content-Encoding": encoding };

    test("is unpacked; its length is that of the wire", async () => {
      const server = await serve(file(pack(CONTENT), { headers }));
      await download(quickSystem(), plan([server.url]), new AbortController().signal, async (body) => {
        expect(body).toMatchObject({ length: null, readRange: null });
        expect((await readAll(body)).equals(CONTENT)).toBe(true);
      });
    });

    test("goes on after a cut", async () => {
      const content = Buffer.from(Uint8Array.from({ length: 3_000_000 }, () => Math.random() * 256));
      const packed = pack(content);
      const server = await serve(file(packed, { headers, cutAfter: 2_000_000 }), file(packed, { headers }));
      expect((await fetchImage(quickSystem(), plan([server.url]))).content.equals(content)).toBe(true);
      expect(server.requests[1]?.headers.range).toMatch(/^bytes=\d+-$/);
    });

    test("cut short, or damaged, is tried again", async () => {
      const damaged = Buffer.from(pack(CONTENT));
      damaged[damaged.length >> 1]! ^= 1;
      const whole = answer(200, headers, pack(CONTENT));
      for (const bad of [damaged, pack(CONTENT).subarray(0, -3)]) {
        const server = await serve(answer(200, headers, bad), whole);
        expect((await fetchImage(quickSystem(), plan([server.url]))).content.equals(CONTENT)).toBe(true);
        expect(server.requests).toHaveLength(2);
      }
    });
  });

  test("a body packed in a way that was never asked for is refused by name", async () => {
    const server = await serve(answer(200, { "Content-Encoding": "br" }, "hello"));
    const error = await failure(fetchImage(quickSystem(), plan([server.url])));
    expect(error).toBeInstanceOf(ImageDownloadFatalError);
    expect((error as ImageDownloadError).details).toContain("Content-Encoding br");
  });

  test("a refused connection is retried and then an ImageDownloadError", async () => {
    const server = await faultServer(hangUp);
    const { url } = server;
    await server[Symbol.asyncDispose]();
    const system = quickSystem();
    const error = await failure(fetchImage(system, plan([url])));
    expect(error).toBeInstanceOf(ImageDownloadError);
    expect((error as ImageDownloadError).details).toContain(`URL: ${url}/; time: `);
    expect(system.pauses).toEqual([10, 10]);
  });

  // deploy 11.19; deploy 10, bug 7
  test("the whole download has a time limit that silence does not outlast", async () => {
    const server = await serve(file(CONTENT, { stallAfter: 10 }));
    const limited = plan([server.url], { maxDuration: 0.3 });
    const error = await failure(fetchImage(quickSystem(), limited));
    expect(error).toBeInstanceOf(ImageDownloadTimeoutError);
    expect(server.requests).toHaveLength(1);
  });
});

// contract 10.46
// deploy 11.13; deploy 10, bug 6
describe("several URLs", () => {
  test("the second is used when the first refuses connections or says 404", async () => {
    for (const first of [hangUp, answer(404)]) {
      const bad = await serve(first);
      const good = await serve(file(CONTENT));
      const system = quickSystem();
      const { content } = await fetchImage(system, plan([bad.url, good.url]));
      expect(content.equals(CONTENT)).toBe(true);
      expect(bad.requests).toHaveLength(1);
      expect(system.pauses).toEqual([]);
    }
  });

  test("one budget of rounds for all, hopeless ones left out, all listed in the error", async () => {
    const gone = await serve(answer(404));
    const broken = await serve(answer(500));
    const error = await failure(fetchImage(quickSystem(), plan([gone.url, broken.url])));
    expect(gone.requests).toHaveLength(1);
    expect(broken.requests).toHaveLength(3);
    const lines = (error as ImageDownloadError).reason.split("\n ");
    expect(lines.map((line) => line.split(";")[0])).toEqual([`URL: ${gone.url}/`, `URL: ${broken.url}/`]);
  });

  test("all hopeless is fatal after one request each", async () => {
    const [a, b] = [await serve(answer(404)), await serve(answer(403))];
    const error = await failure(fetchImage(quickSystem(), plan([a.url, b.url])));
    expect(error).toBeInstanceOf(ImageDownloadFatalError);
    expect([a.requests.length, b.requests.length]).toEqual([1, 1]);
  });

  test("a cut body with an alternative that works does not wait for the first server to come back", async () => {
    const flaky = await serve(file(CONTENT, { cutAfter: 1_000_000 }), hangUp);
    const good = await serve(file(CONTENT));
    const { content, sources } = await fetchImage(quickSystem(), plan([flaky.url, good.url]));
    expect(content.equals(CONTENT)).toBe(true);
    expect(sources).toEqual([`${flaky.url}/`, `${good.url}/`]);
  });
});

describe("what the consumer says", () => {
  const wrong = (digest: string) => new ImageChecksumError("img", "/dev/x", "aa", digest);

  // deploy 10, bug 3
  test("a wrong checksum is tried again from byte 0, the next URL first", async () => {
    const [a, b] = [await serve(file(CONTENT)), await serve(file(CONTENT))];
    const sources: string[] = [];
    await download(quickSystem(), plan([a.url, b.url]), new AbortController().signal, async (body) => {
      sources.push(body.source);
      const length = (await readAll(body)).length;
      if (sources.length === 1) throw wrong("bb");
      expect(length).toBe(CONTENT.length);
    });
    expect(sources).toEqual([`${a.url}/`, `${b.url}/`]);
  });

  test("different wrong bytes every time use the budget up and end as ImageChecksumError", async () => {
    const server = await serve(file(CONTENT));
    let attempt = 0;
    const error = await failure(
      download(quickSystem(), plan([server.url]), new AbortController().signal, async () => {
        throw wrong(String(attempt++));
      }),
    );
    expect(error).toBeInstanceOf(ImageChecksumError);
    expect(server.requests).toHaveLength(3);
  });

  test("the same wrong bytes twice are what the server has: no third download", async () => {
    const server = await serve(file(CONTENT));
    const error = await failure(
      download(
        quickSystem(),
        plan([server.url], { retries: 9 }),
        new AbortController().signal,
        async (body) => {
          await readAll(body);
          throw wrong("bb");
        },
      ),
    );
    expect(error).toBeInstanceOf(ImageChecksumError);
    expect(server.requests).toHaveLength(2);
  });

  test("any other error of the consumer is final and passes through", async () => {
    const server = await serve(file(CONTENT));
    const error = await failure(
      download(quickSystem(), plan([server.url]), new AbortController().signal, async (body) => {
        for await (const _ of body.chunks) throw new ImageWriteError("the disk is full");
      }),
    );
    expect(error).toEqual(new ImageWriteError("the disk is full"));
    expect(server.requests).toHaveLength(1);
  });
});

// deploy 11.24
describe("redirects", () => {
  test("a chain is followed, relative and absolute", async () => {
    const target = await serve(file(CONTENT));
    const chain = await serve(
      answer(302, { Location: "/b" }),
      answer(301, { Location: "c?x=1" }),
      answer(307, { Location: `${target.url}/final` }),
    );
    const { content } = await fetchImage(quickSystem(), plan([`${chain.url}/a`]));
    expect(content.equals(CONTENT)).toBe(true);
    expect(chain.requests.map(({ target: path }) => path)).toEqual(["/a", "/b", "/c?x=1"]);
    expect(target.requests[0]?.target).toBe("/final");
  });

  test("a loop ends after 30, for good", async () => {
    const server = await serve(answer(302, { Location: "/" }));
    const error = await failure(fetchImage(quickSystem(), plan([server.url])));
    expect(error).toBeInstanceOf(ImageDownloadFatalError);
    expect((error as ImageDownloadError).details).toContain("more than 30 redirects");
    expect(server.requests).toHaveLength(31);
  });

  test.each(["ftp://127.0.0.1/x", "file:///etc/passwd", "http://["])("to %s is refused", async (location) => {
    const server = await serve(answer(302, { Location: location }));
    expect(await failure(fetchImage(quickSystem(), plan([server.url])))).toBeInstanceOf(
      ImageDownloadFatalError,
    );
  });

  // contract 10.47
  // deploy 11.22
  test("credentials stay with their host", async () => {
    const other = await serve(file(CONTENT));
    const first = await serve(
      answer(302, { Location: "/same" }),
      answer(302, { Location: `${other.url}/x` }),
    );
    const secret = plan([first.url]);
    await fetchImage(quickSystem(), {
      ...secret,
      settings: { ...secret.settings, authorization: "Bearer t0ken" },
    });
    expect(first.requests.map(({ headers }) => headers.authorization)).toEqual([
      "Bearer t0ken",
      "Bearer t0ken",
    ]);
    expect(other.requests[0]?.headers.authorization).toBeUndefined();
  });

  test("user and password of the URL become a header and are shown nowhere", async () => {
    const server = await serve(answer(401));
    const url = `http://us%40er:p%3Ass@127.0.0.1:${server.port}/x`;
    const error = await failure(fetchImage(quickSystem(), plan([url])));
    const expected = `Basic ${Buffer.from("us@er:p:ss").toString("base64")}`;
    expect(server.requests[0]?.headers.authorization).toBe(expected);
    expect((error as ImageDownloadError).details).not.toContain("p:ss");
    expect((error as ImageDownloadError).details).not.toContain("p%3Ass");
  });
});

// contract 10.47
// deploy 11.20; deploy 10, bug 10
describe("through a proxy", () => {
  test("the proxy gets the absolute URL, unless no_proxy says otherwise", async () => {
    const proxy = await serve(file(CONTENT));
    const direct = await serve(file(CONTENT));
    const base = plan([`${direct.url}/x`]);
    const proxies = { http: `127.0.0.1:${proxy.port}` };
    const through = (noProxy: string | null) => ({
      ...base,
      settings: { ...base.settings, proxy: { proxies, noProxy, environment: {} } },
    });
    await fetchImage(quickSystem(), through(null));
    expect(proxy.requests[0]?.target).toBe(`${direct.url}/x`);
    expect(direct.requests).toHaveLength(0);
    await fetchImage(quickSystem(), through("localhost,127.0.0.0/8"));
    expect(proxy.requests).toHaveLength(1);
    expect(direct.requests).toHaveLength(1);
  });

  test("which is named, without its password, when the image does not come", async () => {
    const proxied = async (proxy: string) => {
      const base = plan(["http://images.invalid/x"], { retries: 0 });
      const settings = { ...base.settings, proxy: { proxies: { http: proxy }, noProxy: null } };
      const error = await failure(fetchImage(quickSystem(), { ...base, settings }));
      return (error as ImageDownloadError).details;
    };
    const name = (port: number) => `http://images.invalid/x (by the proxy http://127.0.0.1:${port}/)`;
    expect(await proxied("http://user:password@127.0.0.1:1")).toContain(`GET ${name(1)}: ECONNREFUSED`);
    const { port } = await serve(answer(502));
    expect(await proxied(`http://user:password@127.0.0.1:${port}`)).toContain(
      `Received status code 502 from ${name(port)}, expected 200.`,
    );
  });
});

describe("abort", () => {
  test("ends a silent transfer at once with the signal's reason, and no further request", async () => {
    const abort = new AbortController();
    const server = await serve((request, socket) => {
      file(CONTENT, { stallAfter: 1000 })(request, socket);
      setTimeout(() => abort.abort(new Error("told to stop")), 50);
    });
    const error = await failure(fetchImage(quickSystem(), plan([server.url]), abort.signal));
    expect(error.message).toBe("told to stop");
    expect(server.requests).toHaveLength(1);
  });
});

// deploy 11.11
describe("small files", () => {
  test("come whole, or not at all beyond the limit", async () => {
    const server = await serve(answer(200, {}, "0123456789"));
    const { signal } = new AbortController();
    const bytes = await downloadBytes(quickSystem(), plan([server.url]), signal, 10);
    expect(Buffer.from(bytes).toString()).toBe("0123456789");
    const error = await failure(downloadBytes(quickSystem(), plan([server.url]), signal, 9));
    expect((error as ImageDownloadError).details).toContain("longer than the limit of 9 bytes");
  });
});

// deploy 11.26
test("a slow consumer slows the server down instead of filling memory", async () => {
  const total = 256 * 1024 * 1024;
  const block = Buffer.alloc(1024 * 1024);
  let sent = 0;
  const server = await serve((_, socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
    const more = () => {
      while (sent < total && socket.write(block)) sent += block.length;
      if (sent < total) sent += block.length;
    };
    socket.on("drain", more);
    more();
  });
  let received = 0;
  let ahead = 0;
  await download(quickSystem(), plan([server.url]), new AbortController().signal, async ({ chunks }) => {
    for await (const chunk of chunks) {
      received += chunk.length;
      ahead = Math.max(ahead, sent - received);
      if (received < 4 * 1024 * 1024) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  expect(received).toBe(total);
  expect(ahead).toBeLessThan(32 * 1024 * 1024);
});
