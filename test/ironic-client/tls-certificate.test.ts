// The certificate, judged by others: openssl, Python's ssl, and this runtime's own TLS.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import {
  alternativeName,
  type Certificate,
  makeAuthority,
  makeCertificate,
} from "../../src/ironic/tls-certificate.ts";
import { realHttpListener } from "../../src/system/http-server.ts";

const request = {
  hostname: "node-1",
  host: "127.0.0.1",
  curve: "p384",
  now: Date.now() / 1000,
  allowedClockSkew: 3600,
} as const;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/tls-certificate-`);
});
afterAll(() => rm(directory, { recursive: true }));

async function output(...argv: string[]): Promise<string> {
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`${argv[0]}: ${stderr}${stdout}`);
  return stdout;
}

async function store({ cert, key }: Certificate): Promise<{ certFile: string; keyFile: string }> {
  const files = { certFile: `${directory}/cert.pem`, keyFile: `${directory}/key.pem` };
  await writeFile(files.certFile, cert);
  await writeFile(files.keyFile, key);
  return files;
}

describe("the automatic certificate (control-plane 11.66)", () => {
  test("openssl verifies it as its own authority, on every curve, and its key fits", async () => {
    for (const [curve, bits] of [
      ["p256", 256],
      ["p384", 384],
      ["p521", 521],
    ] as const) {
      const { certFile, keyFile } = await store(await makeCertificate({ ...request, curve }));
      expect(await output("openssl", "verify", "-CAfile", certFile, certFile)).toEndWith("OK\n");
      expect(await output("openssl", "pkey", "-in", keyFile, "-noout", "-text")).toContain(`${bits} bit`);
      expect(await output("openssl", "pkey", "-in", keyFile, "-pubout")).toBe(
        await output("openssl", "x509", "-in", certFile, "-pubkey", "-noout"),
      );
    }
  });

  test("has the fields Ironic's operators know", async () => {
    const { certFile } = await store(await makeCertificate(request));
    const text = await output("openssl", "x509", "-in", certFile, "-noout", "-text");
    expect(text).toContain("Version: 3 (0x2)");
    expect(text).toContain("Signature Algorithm: ecdsa-with-SHA512");
    expect(text).toMatch(/Issuer: CN ?= ?node-1\n/);
    expect(text).toMatch(/Subject: CN ?= ?node-1\n/);
    expect(text).toMatch(/X509v3 Subject Alternative Name: critical\s+IP Address:127\.0\.0\.1\n/);
    expect(text.match(/X509v3 (?!extensions)/g)?.length).toBe(1);
    const certificate = new X509Certificate(await Bun.file(certFile).text());
    const seconds = (date: string) => Date.parse(date) / 1000;
    expect(seconds(certificate.validFrom)).toBe(Math.floor(request.now) - 3600);
    expect(seconds(certificate.validTo)).toBe(Math.floor(request.now) + 30 * 24 * 3600);
  });

  test("is for an IPv6 address or a name too", async () => {
    const names = async (host: string) =>
      new X509Certificate((await makeCertificate({ ...request, host })).cert).subjectAltName;
    expect(await names("2001:db8::7")).toBe("IP Address:2001:DB8:0:0:0:0:0:7");
    expect(await names("agent.example.com")).toBe("DNS:agent.example.com");
  });

  test("differs every time, in key and serial number, and its signature is always well-formed", async () => {
    const serials = new Set<string>();
    for (let i = 0; i < 60; i++) {
      const curve = (["p256", "p384", "p521"] as const)[i % 3]!;
      const certificate = new X509Certificate((await makeCertificate({ ...request, curve })).cert);
      expect(certificate.verify(certificate.publicKey)).toBe(true);
      serials.add(certificate.serialNumber);
    }
    expect(serials.size).toBe(60);
  });

  test("a host name that is too long for a common name does not stop it", async () => {
    const { cert } = await makeCertificate({ ...request, hostname: "h".repeat(100) });
    expect(new X509Certificate(cert).subject).toBe(`CN=${"h".repeat(64)}`);
  });

  test("Python's ssl connects to a server that uses it, and to nobody else", async () => {
    const certificate = await makeCertificate(request);
    const { certFile } = await store(certificate);
    const server = await realHttpListener({
      host: "127.0.0.1",
      port: 0,
      tls: certificate,
      maxRequestBody: 1,
      handle: () => new Response("ok"),
    });
    const script = `import ssl, socket, sys
context = ssl.create_default_context(cafile=sys.argv[1])
for name in ("127.0.0.1", "127.0.0.2"):
    try:
        with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as plain:
            with context.wrap_socket(plain, server_hostname=name) as s: print(name, s.version())
    except ssl.SSLCertVerificationError as error: print(name, error.verify_message)`;
    const lines = (await output("python3", "-c", script, certFile, String(server.port))).split("\n");
    await server.stop(0);
    expect(lines[0]).toBe("127.0.0.1 TLSv1.3");
    expect(lines[1]).toContain("IP address mismatch");
  });
});

describe("an authority", () => {
  /** What is announced to Ironic, and the certificate that follows the first one. */
  async function made(curve: "p256" | "p384" | "p521") {
    const first = await makeCertificate({ ...request, curve });
    const authority = await makeAuthority({ ...request, curve });
    const bundle = `${directory}/bundle.pem`;
    await writeFile(bundle, first.cert + authority.cert);
    return { first, authority, bundle, next: await authority.issue({ ...request, curve }) };
  }

  test("is what openssl takes for one by the strictest reading, and what it issues verifies by it", async () => {
    for (const curve of ["p256", "p384", "p521"] as const) {
      const { bundle, next } = await made(curve);
      const { certFile, keyFile } = await store(next);
      expect(await output("openssl", "verify", "-x509_strict", "-CAfile", bundle, certFile)).toEndWith(
        "OK\n",
      );
      expect(await output("openssl", "pkey", "-in", keyFile, "-pubout")).toBe(
        await output("openssl", "x509", "-in", certFile, "-pubkey", "-noout"),
      );
    }
  });

  test("is for ever, may sign nothing but ends of chains, and has a name of its own", async () => {
    const { authority } = await made("p384");
    const { certFile } = await store({ cert: authority.cert, key: "" });
    const text = await output("openssl", "x509", "-in", certFile, "-noout", "-text");
    expect(text).toContain("Not After : Dec 31 23:59:59 9999 GMT");
    expect(text).toMatch(/X509v3 Basic Constraints: critical\s+CA:TRUE, pathlen:0\n/);
    expect(text).toMatch(/X509v3 Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
    expect(text).toMatch(/Subject: CN ?= ?ironic-agent CA [0-9a-f]{16} node-1\n/);
    const other = await makeAuthority({ ...request, hostname: "h".repeat(100) });
    expect(new X509Certificate(other.cert).subject).toHaveLength(3 + 64);
  });

  test("issues certificates with the fields of the first one", async () => {
    const { next } = await made("p384");
    const certificate = new X509Certificate(next.cert);
    expect(certificate.subject).toBe("CN=node-1");
    expect(certificate.subjectAltName).toBe("IP Address:127.0.0.1");
    const seconds = (date: string) => Date.parse(date) / 1000;
    expect(seconds(certificate.validFrom)).toBe(Math.floor(request.now) - 3600);
    expect(seconds(certificate.validTo)).toBe(Math.floor(request.now) + 30 * 24 * 3600);
  });

  test("convinces the conductor's client: Python requests with verify=<the announced file>, and nobody else's", async () => {
    // Ironic's agent_client.py has a requests.Session and gives it the file with what the heartbeat announced. Its newest releases run
    // on a Python whose default is VERIFY_X509_STRICT.
    const { first, next, bundle } = await made("p384");
    const script = `import requests, ssl, sys
from requests.adapters import HTTPAdapter
class Strict(HTTPAdapter):
    def init_poolmanager(self, *args, **kwargs):
        context = ssl.create_default_context(cafile=sys.argv[1])
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.check_hostname = False # urllib3 compares the address itself
        super().init_poolmanager(*args, ssl_context=context, **kwargs)
url = "https://%s:" + sys.argv[2] + "/"
session, strict = requests.Session(), requests.Session()
strict.mount("https://", Strict())
for who, name in ((session, "127.0.0.1"), (strict, "127.0.0.1"), (session, "localhost")):
    try: print(who.get(url % name, verify=sys.argv[1], timeout=60).text)
    except requests.exceptions.SSLError as error: print("refused")`;
    const impostor = await (await makeAuthority(request)).issue(request);
    for (const [served, expected] of [
      [first, "ok\nok\nrefused\n"],
      [next, "ok\nok\nrefused\n"],
      [impostor, "refused\nrefused\nrefused\n"],
    ] as const) {
      const server = await realHttpListener({
        host: "127.0.0.1",
        port: 0,
        tls: served,
        maxRequestBody: 1,
        handle: () => new Response("ok"),
      });
      // Debian's own, which has its package python3-requests.
      expect(await output("/usr/bin/python3", "-c", script, bundle, String(server.port))).toBe(expected);
      await server.stop(0);
    }
  }, 60_000);
});

test("addresses are told from names", () => {
  const bytes = (host: string) => {
    const name = alternativeName(host);
    return name.kind === "ip" ? Buffer.from(name.bytes).toString("hex") : name.text;
  };
  expect(bytes("192.0.2.7")).toBe("c0000207");
  expect(bytes("::")).toBe("0".repeat(32));
  expect(bytes("::1")).toBe(`${"0".repeat(31)}1`);
  expect(bytes("2001:db8:0:0:1::7")).toBe("20010db8000000000001000000000007");
  expect(bytes("::ffff:192.0.2.7")).toBe("00000000000000000000ffffc0000207");
  expect(bytes("fe80::1%eth0")).toBe("fe800000000000000000000000000001");
  expect(bytes("host-1.example.com")).toBe("host-1.example.com");
});
