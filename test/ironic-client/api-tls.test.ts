// Which TLS the agent's API gets, and that the choice holds against real clients (openssl).

import { describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { Config } from "../../src/config/config.ts";
import type { OptionValues } from "../../src/config/options.ts";
import {
  type ApiTls,
  type ApiTlsCircumstances,
  CERTIFICATE_FILE,
  chooseApiTls,
  KEY_FILE,
} from "../../src/ironic/api-tls.ts";
import { realFiles } from "../../src/system/files.ts";
import { realHttpListener } from "../../src/system/http-server.ts";
import { selfSigned } from "../support/certificate.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";

const REACHABLE = { ironicMinor: 82, host: "127.0.0.1" };

function choose(
  values: Partial<OptionValues>,
  circumstances: ApiTlsCircumstances = REACHABLE,
): Promise<ApiTls> {
  const recorded = recordedSystem({ hostname: "node-1" });
  const { write, makeDirectory } = recorded.files;
  // What it reads is real, what it writes is not.
  const system = { ...recorded, files: { ...realFiles, write, makeDirectory } };
  return chooseApiTls(system, Config.of(values), circumstances);
}

/** Protocol and cipher of a handshake with the options given, or null if there is none. */
async function handshake(tls: ApiTls, ...options: string[]): Promise<string | null> {
  const server = await realHttpListener({
    host: "127.0.0.1",
    port: 0,
    tls: tls.server,
    maxRequestBody: 1,
    handle: () => new Response("ok"),
  });
  // A request and its answer: with TLS 1.3 a refused client learns of it only after its own part of the handshake.
  const request = "GET / HTTP/1.0\r\n\r\n";
  const child = Bun.spawn(
    ["openssl", "s_client", "-connect", `127.0.0.1:${server.port}`, "-ign_eof", ...options],
    { stdin: new TextEncoder().encode(request), stdout: "pipe", stderr: "ignore" },
  );
  const text = await new Response(child.stdout).text();
  await child.exited;
  await server.stop(0);
  if (!text.includes("HTTP/1.1 200")) return null;
  return /^New, (\S+), Cipher is (\S+)$/m.exec(text)?.slice(1).join(" ") ?? null;
}

describe("automatic TLS", () => {
  test("makes a certificate for the advertised host and gives it to the heartbeats", async () => {
    const { server, verifyCa } = await choose({});
    expect(verifyCa).toStartWith(server!.cert);
    const certificate = new X509Certificate(verifyCa!);
    expect(certificate.subject).toBe("CN=node-1");
    expect(certificate.subjectAltName).toBe("IP Address:127.0.0.1");
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe("secp384r1");
    const p256 = await choose({ tls_certificate_curve: "p256" });
    expect(new X509Certificate(p256.verifyCa!).publicKey.asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
  });

  test("has a successor that Ironic trusts by what it was told at first", async () => {
    const { server, verifyCa, renew } = await choose({});
    const [first, authority] = verifyCa!.split(/(?<=-----END CERTIFICATE-----\n)/);
    expect(first).toBe(server!.cert);
    const next = await renew!();
    const certificate = new X509Certificate(next.cert);
    expect(certificate.verify(new X509Certificate(authority!).publicKey)).toBe(true);
    expect(certificate.subjectAltName).toBe("IP Address:127.0.0.1");
    expect(next.key).not.toBe(server!.key);
    expect({ ...next, cert: "", key: "" }).toEqual({ ...server!, cert: "", key: "" });
  });

  test("is written down for people, its key for root alone (control-plane 11.69, DEV-24)", async () => {
    const home = await mkdtemp(`${tmpdir()}/api-tls-`);
    const under = (path: string) => home + path;
    const system = {
      ...recordedSystem(),
      files: {
        ...realFiles,
        write: (path: string, content: string | Uint8Array, mode?: number) =>
          realFiles.write(under(path), content, mode),
        makeDirectory: (path: string, mode?: number) => realFiles.makeDirectory(under(path), mode),
      },
    };
    const { server, verifyCa, renew } = await chooseApiTls(system, Config.of({}), REACHABLE);
    const mode = async (path: string) => (await stat(under(path))).mode & 0o777;
    expect(await mode(KEY_FILE)).toBe(0o600);
    expect(await mode(CERTIFICATE_FILE)).toBe(0o644);
    expect(await mode("/run/ironic-python-agent")).toBe(0o700);
    expect(await readFile(under(CERTIFICATE_FILE), "utf8")).toBe(verifyCa!);
    expect(await readFile(under(KEY_FILE), "utf8")).toBe(server!.key);
    expect(await readFile(under(KEY_FILE), "utf8")).not.toBe((await renew!()).key);
    expect(await mode(KEY_FILE)).toBe(0o600);
    await rm(home, { recursive: true });
  });

  test("a read-only file system costs the files, not the API", async () => {
    const system = recordedSystem();
    const files = { ...system.files, makeDirectory: () => Promise.reject(new Error("EROFS")) };
    expect((await chooseApiTls({ ...system, files }, Config.of({}), REACHABLE)).server).not.toBeNull();
    expect(system.records.map(({ message }) => message).join()).toContain("could not be written down");
  });

  test("control-plane 11.67: is not used with an Ironic before 1.68, without Ironic, or when turned off", async () => {
    const plain = { server: null, verifyCa: null, renew: null };
    expect(await choose({}, { ironicMinor: 67, host: "127.0.0.1" })).toEqual(plain);
    expect(await choose({}, { ironicMinor: null, host: null })).toEqual(plain);
    expect(await choose({ enable_auto_tls: false })).toEqual(plain);
  });

  test("control-plane 11.69, contract 10.60: speaks TLS 1.2 with forward secrecy and 1.3, and nothing older", async () => {
    const tls = await choose({});
    expect(await handshake(tls, "-tls1_2")).toBe("TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384");
    expect(await handshake(tls, "-tls1_3")).toStartWith("TLSv1.3 ");
    expect(await handshake(tls, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")).toBeNull();
    expect(await handshake(tls, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384")).toBeNull();
  });

  test("keeps to the configured floor and suites", async () => {
    const strict = await choose({ tls_min_version: "1.3" });
    expect(await handshake(strict, "-tls1_2")).toBeNull();
    expect(await handshake(strict, "-tls1_3")).toStartWith("TLSv1.3 ");
    const suites = await choose({ tls_cipher_suites: "ECDHE-ECDSA-AES128-GCM-SHA256" });
    expect(await handshake(suites, "-tls1_2")).toBe("TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256");
  });
});

describe("the operator's TLS", () => {
  test("wins over the automatic one, and sends Ironic nothing", async () => {
    await using files = await selfSigned("127.0.0.1");
    const { server, verifyCa } = await choose({
      listen_tls: true,
      tls_cert_file: files.certFile,
      tls_key_file: files.keyFile,
    });
    expect(verifyCa).toBeNull();
    expect(server).toMatchObject({ cert: files.cert, key: files.key, clientCa: null, minVersion: "1.2" });
  });

  test("control-plane 11.68: asks for client certificates, and can be one version only", async () => {
    await using files = await selfSigned("127.0.0.1");
    await using client = await selfSigned("127.0.0.2");
    const tls = await choose({
      listen_tls: true,
      tls_cert_file: files.certFile,
      tls_key_file: files.keyFile,
      "ssl.ca_file": client.certFile,
      "ssl.version": "TLSv1_2",
    });
    expect(await handshake(tls)).toBeNull();
    const shown = ["-cert", client.certFile, "-key", client.keyFile];
    expect(await handshake(tls, ...shown)).toStartWith("TLSv1.2 ");
    expect(await handshake(tls, ...shown, "-tls1_3")).toBeNull();
  });

  test("needs its files: what is missing or of no use is named", async () => {
    await using files = await selfSigned("127.0.0.1");
    await using other = await selfSigned("127.0.0.1");
    const pair = (cert: string, key: string) => ({ tls_cert_file: cert, tls_key_file: key });
    for (const [values, named] of [
      [pair("/proc/version", files.keyFile), "/proc/version holds no PEM certificate"],
      [pair(files.certFile, "/proc/version"), "/proc/version holds no PEM private key"],
      [pair(files.certFile, other.keyFile), `${other.keyFile} is not the key of the certificate`],
      [
        { ...pair(files.certFile, files.keyFile), "ssl.ca_file": "/proc/version" },
        "/proc/version holds no PEM",
      ],
      [
        { ...pair(files.certFile, files.keyFile), tls_cipher_suites: "ROT13" },
        'tls_cipher_suites (from program): "ROT13": no cipher match',
      ],
      [{ tls_key_file: files.keyFile }, "tls_cert_file"],
      [{ tls_cert_file: files.certFile }, "tls_key_file"],
      [{ tls_cert_file: "/missing.pem", tls_key_file: files.keyFile }, "/missing.pem"],
    ] as const)
      expect(await rejection(choose({ listen_tls: true, ...values }))).toMatchObject({
        exitCode: 1,
        message: expect.stringContaining(named),
      });
  });

  test("outside of its time is served, with a warning", async () => {
    await using files = await selfSigned("127.0.0.1");
    const recorded = recordedSystem(); // whose clock is in 2027
    const config = Config.of({
      listen_tls: true,
      tls_cert_file: files.certFile,
      tls_key_file: files.keyFile,
    });
    const { server } = await chooseApiTls({ ...recorded, files: realFiles }, config, REACHABLE);
    expect(server?.cert).toBe(files.cert);
    const warnings = recorded.records.filter(({ level }) => level === "WARNING");
    expect(warnings[0]?.message).toContain(`${files.certFile} is valid from `);
  });
});
