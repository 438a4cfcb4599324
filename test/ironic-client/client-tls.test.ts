// How the client of Ironic verifies and identifies itself, with a real nginx and the runtime's own TLS server; and whether its errors
// help. control-plane 11.61; contract 1.6.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createServer, type Server, type TlsOptions } from "node:tls";
import { Config } from "../../src/config/config.ts";
import type { OptionValues } from "../../src/config/options.ts";
import { IronicApi } from "../../src/ironic/api-client.ts";
import { realFiles } from "../../src/system/files.ts";
import { realHttpClient } from "../../src/system/http-client.ts";
import {
  type CertificateAuthority,
  certificateAuthority,
  type Identity,
} from "../support/certificate-authority.ts";
import { NGINX_INSTALLED, startNginx } from "../support/nginx.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";
import { freePort } from "../support/test-machine.ts";

let authority: CertificateAuthority;
let server: Identity;
let client: Identity;
beforeAll(async () => {
  authority = await certificateAuthority();
  server = await authority.issue("server", { altName: "IP:127.0.0.1" });
  client = await authority.issue("client");
});
afterAll(() => authority[Symbol.asyncDispose]());

/** Asks Ironic for its version, as the first thing of every agent. */
async function ask(values: Partial<OptionValues>): Promise<number> {
  const system = { ...recordedSystem(), http: realHttpClient, files: realFiles };
  const api = await IronicApi.create(system, Config.of(values));
  if (api === null) throw new Error("no API URL");
  return await api.maximumMinor();
}

/** What the operator reads. */
async function complaint(values: Partial<OptionValues>): Promise<string> {
  const error = await rejection(ask(values));
  return error instanceof Error ? error.message : String(error);
}

const ANSWER = JSON.stringify({ default_version: { id: "v1", version: "1.82" } });

/** A TLS server that answers everything with Ironic's version. */
async function serve(options: TlsOptions): Promise<{ url: string; server: Server } & AsyncDisposable> {
  const listener = createServer({ cert: server.cert, key: server.key, ...options }, (socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () =>
      socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${ANSWER.length}\r\nConnection: close\r\n\r\n${ANSWER}`),
    );
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as { port: number };
  return {
    url: `https://127.0.0.1:${port}`,
    server: listener,
    [Symbol.asyncDispose]: async () => void listener.close(),
  };
}

const trusted = () => ({ cafile: authority.certFile });
const identified = () => ({ ...trusted(), certfile: client.certFile, keyfile: client.keyFile });

describe.skipIf(!NGINX_INSTALLED)("an Ironic behind nginx", () => {
  /** nginx with the server's certificate and more directives. */
  async function nginx(directives: string, certificate: Identity = server) {
    const port = await freePort();
    const process = await startNginx(
      authority.directory,
      port,
      `ssl_certificate ${certificate.certFile};
       ssl_certificate_key ${certificate.keyFile};
       ${directives}
       location / { default_type application/json; return 200 '${ANSWER}'; }`,
    );
    return { url: `https://127.0.0.1:${port}`, [Symbol.asyncDispose]: () => process[Symbol.asyncDispose]() };
  }

  test("is verified with cafile, or not at all with insecure", async () => {
    await using proxy = await nginx("");
    expect(await ask({ api_url: proxy.url, ...trusted() })).toBe(82);
    expect(await ask({ api_url: proxy.url, insecure: true })).toBe(82);
    expect(await complaint({ api_url: proxy.url })).toContain("not signed by a CA in the system's CA store");
    const other = { api_url: proxy.url, cafile: client.certFile };
    expect(await complaint(other)).toBe(
      `GET ${proxy.url}/: the server's certificate is not signed by a CA in ${client.certFile}, cafile (from ` +
        "program) (UNABLE_TO_VERIFY_LEAF_SIGNATURE)",
    );
  });

  test("that demands client certificates gets the configured one", async () => {
    await using proxy = await nginx(`ssl_client_certificate ${authority.certFile}; ssl_verify_client on;`);
    expect(await ask({ api_url: proxy.url, ...identified() })).toBe(82);
    expect(await complaint({ api_url: proxy.url, ...trusted() })).toContain(
      "Error 400: 400 No required SSL certificate was sent",
    );
    // One of the two alone is no identity.
    expect(await complaint({ api_url: proxy.url, ...trusted(), certfile: client.certFile })).toContain(
      "No required SSL certificate",
    );
  });

  test("that speaks TLS 1.2 only, or other ciphers, is refused where the policy says so", async () => {
    await using old = await nginx("ssl_protocols TLSv1.2; ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256;");
    const options = { api_url: old.url, ...trusted() };
    expect(await ask(options)).toBe(82);
    expect(await complaint({ ...options, tls_min_version: "1.3" })).toContain("not TLS 1.3 or newer");
    const strong = { ...options, tls_cipher_suites: "ECDHE-ECDSA-AES256-GCM-SHA384" };
    expect(await complaint(strong)).toContain("with the ciphers ECDHE-ECDSA-AES256-GCM-SHA384");
    expect(await ask({ ...options, tls_cipher_suites: "ECDHE-ECDSA-AES128-GCM-SHA256" })).toBe(82);
  });

  test("moved by a redirect is followed, but never from https to http", async () => {
    await using target = await nginx("");
    await using moved = await nginx(`return 301 ${target.url}$request_uri;`);
    expect(await ask({ api_url: moved.url, ...trusted() })).toBe(82);
    await using unsafe = await nginx("return 302 http://127.0.0.1:1/;");
    expect(await complaint({ api_url: unsafe.url, ...trusted() })).toContain(
      "redirects to http://127.0.0.1:1/, where the agent does not follow",
    );
  });
});

describe("the runtime's own TLS server", () => {
  test("client certificates, with TLS 1.2 and 1.3", async () => {
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      await using strict = await serve({
        maxVersion,
        requestCert: true,
        rejectUnauthorized: true,
        ca: authority.cert,
      });
      expect(await ask({ api_url: strict.url, ...identified() })).toBe(82);
      const refused = await complaint({ api_url: strict.url, ...trusted() });
      expect(refused).toStartWith(`GET ${strict.url}/: the TLS handshake failed`);
      expect(refused).toContain("certfile, keyfile");
    }
  });

  test("a certificate that has expired, or is for another host, is called that", async () => {
    const expired = await authority.issue("expired", { altName: "IP:127.0.0.1", expired: true });
    await using late = await serve({ cert: expired.cert, key: expired.key });
    expect(await complaint({ api_url: late.url, ...trusted() })).toMatch(
      /the server's certificate has expired, or this machine's clock \(20.*Z\) is wrong \(CERT_HAS_EXPIRED\)$/,
    );
    const foreign = await authority.issue("foreign", { altName: "DNS:ironic.example.com" });
    await using elsewhere = await serve({ cert: foreign.cert, key: foreign.key });
    expect(await complaint({ api_url: elsewhere.url, ...trusted() })).toContain(
      "the server's certificate is for another host than the one in the URL",
    );
  });

  test("a port that speaks no TLS is called that", async () => {
    await using plain = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("plain") });
    expect(await complaint({ api_url: `https://127.0.0.1:${plain.port}`, insecure: true })).toContain(
      "the server does not speak TLS on this port",
    );
  });

  test("the policy of Ironic's lookup answer holds from the next request on", async () => {
    await using old = await serve({ maxVersion: "TLSv1.2" });
    const config = Config.of({ api_url: old.url, ...trusted() });
    const system = { ...recordedSystem(), http: realHttpClient, files: realFiles };
    const api = await IronicApi.create(system, config);
    expect(await api?.maximumMinor()).toBe(82);
    config.override("tls_min_version", "1.3", "lookup answer");
    api?.forgetVersion();
    expect(await rejection(api!.maximumMinor())).toMatchObject({ code: "EPROTO" });
  });
});

describe("files that are of no use end the start with their name, the option and the reason", () => {
  const url = "https://127.0.0.1:1";

  test.each([
    ["nonsense", "invalid ca"],
    ["", "it is empty"],
  ])("cafile with %j", async (content, reason) => {
    const file = join(authority.directory, "unusable.pem");
    await writeFile(file, content);
    const error = await rejection(ask({ api_url: url, cafile: file }));
    expect(error).toMatchObject({
      exitCode: 1,
      message: `${file}, cafile (from program) cannot be used: ${reason}`,
    });
    // Nobody is verified, so nothing is needed to verify with.
    expect(await complaint({ api_url: url, cafile: file, insecure: true })).toContain("ECONNREFUSED");
  });

  test("a client certificate with the key of another", async () => {
    const options = { api_url: url, certfile: client.certFile, keyfile: server.keyFile };
    expect(await complaint(options)).toBe(
      `The client certificate ${client.certFile}, certfile (from program), with the key ${server.keyFile}, ` +
        "keyfile (from program), cannot be used: key values mismatch",
    );
  });

  test("ciphers nobody knows", async () => {
    expect(await complaint({ api_url: url, tls_cipher_suites: "ROT13" })).toBe(
      '"ROT13", tls_cipher_suites (from program), cannot be used: no cipher match',
    );
  });
});
