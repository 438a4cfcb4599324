// A certificate authority for tests of TLS with real servers, made with the real openssl.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** PEM files, and what is in them. */
export type Identity = {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
};

export type CertificateAuthority = AsyncDisposable & {
  /** For files that go with it. */
  readonly directory: string;
  readonly cert: string;
  readonly certFile: string;
  /** `altName` in openssl's form, e.g. "IP:127.0.0.1"; `expired` ended in 2021. */
  issue(name: string, options?: { readonly altName?: string; readonly expired?: boolean }): Promise<Identity>;
};

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

export async function certificateAuthority(): Promise<CertificateAuthority> {
  const directory = await mkdtemp(join(tmpdir(), "authority-"));
  const file = (name: string) => join(directory, name);
  await openssl("req", "-x509", ...NEW_KEY, "-days", "1", "-subj", "/CN=Test CA").andWrite(
    file("ca.key"),
    file("ca.pem"),
  );
  // The only command of OpenSSL 3.0 that takes dates.
  await writeFile(file("ca.conf"), caConfiguration(directory));
  await writeFile(file("index.txt"), "");
  return {
    directory,
    cert: await readFile(file("ca.pem"), "utf8"),
    certFile: file("ca.pem"),
    async issue(name, { altName, expired = false } = {}) {
      const [key, request, cert] = [file(`${name}.key`), file(`${name}.csr`), file(`${name}.pem`)];
      const extension = altName === undefined ? [] : ["-addext", `subjectAltName=${altName}`];
      await openssl("req", ...NEW_KEY, "-subj", `/CN=${name}`, ...extension).andWrite(key, request);
      const dates = expired
        ? ["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"]
        : ["-days", "1"];
      const sign = ["ca", "-batch", "-notext", "-config", file("ca.conf"), ...dates, "-in", request];
      await openssl(...sign, "-out", cert).done();
      return {
        certFile: cert,
        keyFile: key,
        cert: await readFile(cert, "utf8"),
        key: await readFile(key, "utf8"),
      };
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

function openssl(...args: string[]) {
  const run = async (more: readonly string[]) => {
    const child = Bun.spawn(["openssl", ...args, ...more], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const [exitCode, errors] = await Promise.all([child.exited, new Response(child.stderr).text()]);
    if (exitCode !== 0) throw new Error(`openssl ${args.join(" ")}: ${errors}`);
  };
  return {
    done: () => run([]),
    andWrite: (key: string, output: string) => run(["-keyout", key, "-out", output]),
  };
}

const caConfiguration = (directory: string) => `
[ca]
default_ca = test
[test]
database = ${directory}/index.txt
new_certs_dir = ${directory}
certificate = ${directory}/ca.pem
private_key = ${directory}/ca.key
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
`;
