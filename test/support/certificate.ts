// A self-signed certificate for test servers, made with the real openssl.

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";

export type TestCertificate = AsyncDisposable & {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  /** The same as files, for options that want paths. */
  readonly certFile: string;
  readonly keyFile: string;
};

/** EC P-256, one day, with `ip` as its only subject alternative name. */
export async function selfSigned(ip: string): Promise<TestCertificate> {
  const directory = await mkdtemp(`${tmpdir()}/certificate-`);
  const certFile = `${directory}/cert.pem`;
  const keyFile = `${directory}/key.pem`;
  const child = Bun.spawn(
    [
      "openssl",
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "1",
    ].concat([
      "-subj",
      "/CN=test",
      "-addext",
      `subjectAltName=IP:${ip}`,
      "-keyout",
      keyFile,
      "-out",
      certFile,
    ]),
    { stdin: "ignore", stdout: "ignore", stderr: "pipe" },
  );
  if ((await child.exited) !== 0) throw new Error(`openssl: ${await new Response(child.stderr).text()}`);
  return {
    cert: await readFile(certFile, "utf8"),
    key: await readFile(keyFile, "utf8"),
    certFile,
    keyFile,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}
