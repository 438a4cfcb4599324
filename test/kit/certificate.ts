// Self-signed certificates for tests of TLS, made by the openssl program so that they owe nothing to the agent's code.

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A new P-256 certificate for these IP addresses; PEM texts. */
export async function testCertificate(
  ...addresses: readonly string[]
): Promise<{ cert: string; key: string }> {
  const directory = await mkdtemp(join(tmpdir(), "certificate-"));
  try {
    const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")];
    const child = Bun.spawn(
      [
        ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
        ...["-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=test"],
        ...["-addext", `subjectAltName=critical,${addresses.map((address) => `IP:${address}`).join(",")}`],
      ],
      { stdout: "ignore", stderr: "pipe" },
    );
    const [complaint, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
    if (exitCode !== 0) throw new Error(`openssl failed with exit code ${exitCode}: ${complaint}`);
    return { cert: await readFile(cert, "utf8"), key: await readFile(key, "utf8") };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
