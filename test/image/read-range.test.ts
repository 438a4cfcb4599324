// Parts of an image, read ahead of its body: what counts as an answer, and what makes the agent do without.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { HttpFault } from "../../src/image/http-get.ts";
import { download, type ReadRange } from "../../src/image/http-source.ts";
import { createSystem } from "../../src/system/real.ts";
import {
  type Answer,
  answer,
  type FileOptions,
  faultServer,
  file,
  lyingRange,
} from "../support/fault-server.ts";
import { rejection } from "../support/rejection.ts";

setDefaultTimeout(60_000);

const CONTENT = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251));

/** The first request is the body's; the others take the rest of the script. */
async function withRanges<T>(
  script: Answer[],
  work: (
    readRange: ReadRange | null,
    requests: readonly { headers: Readonly<Record<string, string>> }[],
  ) => Promise<T>,
): Promise<T> {
  await using server = await faultServer(...script);
  const system = createSystem({ name: "t", debug: false, json: false, file: "/dev/null", stream: "stderr" });
  const plan = {
    imageId: "img",
    urls: [server.url],
    settings: {
      proxy: { proxies: {}, noProxy: null },
      tls: { verify: true, ca: null, certificate: null },
      authorization: null,
      timeout: 20,
    },
    retries: 2,
    interval: 0,
    maxDuration: 0,
  };
  return await download(system, plan, new AbortController().signal, ({ readRange }) =>
    work(readRange, server.requests),
  );
}

const serve = (options: FileOptions = {}) => file(CONTENT, options);

test("exactly the bytes asked for, of the version that the body is of", async () => {
  await withRanges([serve()], async (readRange, requests) => {
    for (const [offset, length] of [
      [0, 1],
      [1000, 70_000],
      [CONTENT.length - 5, 5],
    ] as const) {
      const bytes = await readRange!(offset, length);
      expect(CONTENT.subarray(offset, offset + length).equals(bytes)).toBe(true);
      expect(requests.at(-1)?.headers.range).toBe(`bytes=${offset}-${offset + length - 1}`);
      expect(requests.at(-1)?.headers["if-range"]).toBe('"v1"');
    }
  });
});

test("a server without a validator is asked without a condition", async () => {
  await withRanges([serve({ etag: null })], async (readRange, requests) => {
    expect(await readRange!(7, 3)).toEqual(CONTENT.subarray(7, 10));
    expect(requests.at(-1)?.headers).not.toHaveProperty("if-range");
  });
});

test("what breaks on the way is asked for again", async () => {
  const script = [serve(), answer(503), serve({ cutAfter: 10 }), serve()];
  await withRanges(script, async (readRange, requests) => {
    expect(await readRange!(0, 1000)).toEqual(CONTENT.subarray(0, 1000));
    expect(requests).toHaveLength(4);
  });
});

test("a server that says it has no parts is not asked", async () => {
  const headers = { "Accept-Ranges": "none" };
  await withRanges([serve({ headers, ranges: false })], async (readRange) => expect(readRange).toBeNull());
});

describe("no parts from", () => {
  const servers: [string, Answer, "startOver" | "permanent"][] = [
    ["a server that sends everything", serve({ ranges: false }), "startOver"],
    ["a server whose file has changed", serve({ etag: '"v2"' }), "startOver"],
    ["a server that sends another part", lyingRange(CONTENT, 5), "startOver"],
    ["a server that sends more than asked for", lyingRange(CONTENT, 0), "startOver"],
    ["a server that forbids it", answer(403), "permanent"],
  ];
  test.each(servers)("%s", async (_, second, property) => {
    await withRanges([serve(), second], async (readRange) => {
      const fault = await rejection(readRange!(0, 1000));
      expect(fault).toBeInstanceOf(HttpFault);
      expect((fault as HttpFault)[property]).toBe(true);
    });
  });
});
