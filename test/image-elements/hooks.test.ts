// The hooks that take files from the building machine, run for real: wrong ones stop the build with one line, before an image exists
// whose agent could not serve.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { selfSigned, type TestCertificate } from "../support/certificate.ts";

const ELEMENTS = resolve(import.meta.dir, "../../image-elements/dib");
const TLS = "ironic-agent-tls";
const RAMDISK = "ironic-agent-ramdisk";
let directory: string;
let one: TestCertificate;
let other: TestCertificate;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "hooks-"));
  [one, other] = [await selfSigned("192.0.2.1"), await selfSigned("192.0.2.2")];
});
afterAll(async () => {
  rmSync(directory, { recursive: true });
  await one[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
});

/** Runs an element's extra-data hook with the element's own defaults, as dib-run-parts does. */
function hook(element: string, name: string, environment: Record<string, string>) {
  const hooks = mkdtempSync(join(directory, "hooks-"));
  const script = `for file in ${ELEMENTS}/${element}/environment.d/*; do source "$file"; done; exec ${ELEMENTS}/${element}/extra-data.d/${name}`;
  const { exitCode, stdout, stderr } = Bun.spawnSync(["bash", "-eu", "-c", script], {
    env: { PATH: process.env.PATH ?? "", TMP_HOOKS_PATH: hooks, ARCH: "amd64", ...environment },
  });
  return { exitCode, said: `${stdout}${stderr}`.trim(), hooks };
}

const tls = (environment: Record<string, string>) => hook(TLS, "20-ironic-agent-tls", environment);

test("a certificate with its key, and an authority for conductors", () => {
  const { exitCode, said, hooks } = tls({
    DIB_IPA_CERT_FILE: one.certFile,
    DIB_IPA_KEY_FILE: one.keyFile,
    DIB_IPA_CA_FILE: other.certFile,
  });
  expect({ exitCode, said }).toEqual({ exitCode: 0, said: "" });
  expect(readFileSync(join(hooks, TLS, "agent.crt"), "utf8")).toBe(one.cert);
  expect(readFileSync(join(hooks, TLS, "agent.key"), "utf8")).toBe(one.key);
  expect(readFileSync(join(hooks, TLS, "conductors.pem"), "utf8")).toBe(other.cert);
});

test("without any, a pair is made for the name and the days that were said", () => {
  const { exitCode, hooks } = tls({
    DIB_IPA_CERT_HOSTNAME: "ipa.example.net",
    DIB_IPA_CERT_EXPIRATION: "10",
  });
  expect(exitCode).toBe(0);
  const certificate = join(hooks, TLS, "agent.crt");
  const shown = Bun.spawnSync([
    "openssl",
    "x509",
    "-in",
    certificate,
    "-noout",
    "-subject",
    "-ext",
    "subjectAltName",
    "-startdate",
  ]);
  expect(shown.stdout.toString()).toContain("CN = ipa.example.net");
  expect(shown.stdout.toString()).toContain("DNS:ipa.example.net");
  const day = 24 * 60 * 60;
  const expires = (seconds: number) =>
    Bun.spawnSync(["openssl", "x509", "-in", certificate, "-noout", "-checkend", String(seconds)])
      .exitCode !== 0;
  expect([expires(9 * day), expires(11 * day)]).toEqual([false, true]);
}, 60_000);

test("what does not fit together is refused in one line", () => {
  const encrypted = join(directory, "encrypted.key");
  Bun.spawnSync([
    "openssl",
    "pkey",
    "-in",
    one.keyFile,
    "-aes256",
    "-passout",
    "pass:secret",
    "-out",
    encrypted,
  ]);
  const text = join(directory, "text");
  writeFileSync(text, "no certificate\n");
  for (const [environment, message] of [
    [
      { DIB_IPA_CERT_FILE: one.certFile, DIB_IPA_KEY_FILE: other.keyFile },
      `${other.keyFile} is not the key of ${one.certFile}`,
    ],
    [
      { DIB_IPA_CERT_FILE: one.certFile },
      "DIB_IPA_CERT_FILE and DIB_IPA_KEY_FILE go together, and one is not set",
    ],
    [{ DIB_IPA_CERT_FILE: text, DIB_IPA_KEY_FILE: one.keyFile }, `${text} holds no certificate in PEM`],
    [
      { DIB_IPA_CERT_FILE: one.certFile, DIB_IPA_KEY_FILE: encrypted },
      `${encrypted} holds no private key in PEM without a pass phrase`,
    ],
    [
      { DIB_IPA_CERT_FILE: one.certFile, DIB_IPA_KEY_FILE: one.keyFile, DIB_IPA_CA_FILE: text },
      `${text} holds no certificate in PEM`,
    ],
    [{ DIB_IPA_CERT_FILE: "/missing", DIB_IPA_KEY_FILE: one.keyFile }, "/missing cannot be read"],
  ] as const) {
    const { exitCode, said } = tls(environment);
    expect({ exitCode, said }).toEqual({ exitCode: 1, said: `ERROR: ironic-agent-tls: ${message}` });
  }
});

test("the agent's executable is named, readable, and for the image's processor", () => {
  const arm = join(directory, "arm");
  const header = Buffer.alloc(64);
  header.write("\x7fELF", "latin1");
  header.writeUInt16LE(183, 18);
  writeFileSync(arm, header);
  const ramdisk = (environment: Record<string, string>) =>
    hook(RAMDISK, "10-ironic-agent-ramdisk", environment);
  expect(ramdisk({}).said).toStartWith("ERROR: DIB_IRONIC_AGENT_BINARY must name the agent's executable");
  expect(ramdisk({ DIB_IRONIC_AGENT_BINARY: "/missing" }).said).toBe("ERROR: /missing cannot be read");
  expect(ramdisk({ DIB_IRONIC_AGENT_BINARY: arm }).said).toBe(`ERROR: ${arm} is not an executable for amd64`);
  expect(ramdisk({ DIB_IRONIC_AGENT_BINARY: arm, ARCH: "arm64", DIB_IPA_CERT: arm }).said).toBe(
    `ERROR: ${arm} holds no certificate in PEM`,
  );
  const { exitCode, hooks } = ramdisk({
    DIB_IRONIC_AGENT_BINARY: arm,
    ARCH: "arm64",
    DIB_IPA_CERT: one.certFile,
  });
  expect(exitCode).toBe(0);
  expect(existsSync(join(hooks, "ironic-agent/ironic-python-agent"))).toBe(true);
  expect(readFileSync(join(hooks, "ironic-agent/trusted.pem"), "utf8")).toBe(one.cert);
});
