import { afterAll, beforeAll, expect, test } from "bun:test";
import { ImageDownloadError, ImageDownloadFatalError } from "../../src/errors.ts";
import { type DownloadPlan, downloadBytes } from "../../src/image/http-source.ts";
import type { TlsClientOptions } from "../../src/system/http-client.ts";
import { createSystem } from "../../src/system/real.ts";
import { selfSigned, type TestCertificate } from "../support/certificate.ts";
import { rejection } from "../support/rejection.ts";

const system = createSystem({ name: "test", debug: false, json: false, file: "/dev/null", stream: "stderr" });
let identity: TestCertificate;
let client: TestCertificate;

beforeAll(async () => {
  identity = await selfSigned("127.0.0.1");
  client = await selfSigned("127.0.0.2");
});

afterAll(async () => {
  await identity[Symbol.asyncDispose]();
  await client[Symbol.asyncDispose]();
});

function serve(handle: (request: Request) => Response, clientCa?: string) {
  const { cert, key } = identity;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: {
      cert,
      key,
      ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }),
    },
    fetch: handle,
  });
  return { url: `https://127.0.0.1:${server.port}/image`, stop: () => server.stop(true) };
}

async function get(url: string, tls: TlsClientOptions): Promise<string> {
  const plan: DownloadPlan = {
    imageId: "img",
    urls: [url],
    settings: { proxy: { proxies: {}, noProxy: null }, tls, authorization: null, timeout: 5 },
    retries: 0,
    interval: 0,
    maxDuration: 0,
  };
  const bytes = await downloadBytes(system, plan, new AbortController().signal, 1000);
  return Buffer.from(bytes).toString();
}

const STRICT: TlsClientOptions = { verify: true, ca: null, certificate: null };

// deploy 11.21
test("a server nobody vouches for is refused, named, and accepted by cafile or insecure", async () => {
  const { url, stop } = serve(() => new Response("content"));
  try {
    const error = await get(url, STRICT).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ImageDownloadError);
    expect((error as ImageDownloadError).details).toMatch(/SELF_SIGNED|self.signed/i);
    expect(await get(url, { ...STRICT, ca: identity.cert })).toBe("content");
    expect(await get(url, { ...STRICT, verify: false })).toBe("content");
  } finally {
    stop();
  }
});

test("a client certificate is sent where one is asked for", async () => {
  const { url, stop } = serve(() => new Response("content"), client.cert);
  try {
    expect(await rejection(get(url, { ...STRICT, ca: identity.cert }))).toBeInstanceOf(ImageDownloadError);
    const certificate = { cert: client.cert, key: client.key };
    expect(await get(url, { verify: true, ca: identity.cert, certificate })).toBe("content");
  } finally {
    stop();
  }
});

// deploy 11.24
test("a redirect from https to http is refused for good", async () => {
  const { url, stop } = serve(
    () => new Response(null, { status: 302, headers: { Location: "http://127.0.0.1:1/" } }),
  );
  try {
    const error = await get(url, { ...STRICT, ca: identity.cert }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ImageDownloadFatalError);
    expect((error as ImageDownloadFatalError).details).toContain("it would leave https for http");
  } finally {
    stop();
  }
});
