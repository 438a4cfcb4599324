// How this agent's own API is served: with the operator's certificate, with one made now, or in plain HTTP.
// Source: control-plane specification 6, 2.6.6 ([ssl]) and DEV-8.

import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Config } from "../config/config.ts";
import { ConfigurationError } from "../config/configuration-error.ts";
import { errorText } from "../errors.ts";
import type { TlsServerOptions } from "../system/http-server.ts";
import type { System } from "../system/system.ts";
import { tlsMaterialProblem } from "../system/tls-material.ts";
import { API_MINOR } from "./api-client.ts";
import { type Certificate, makeAuthority, makeCertificate } from "./tls-certificate.ts";

export type ApiTls = {
  /** Null: plain HTTP. */
  readonly server: TlsServerOptions | null;
  /**
   * PEM to send with the heartbeats so that Ironic trusts this agent; null unless the certificate was made here. Ironic refuses a
   * heartbeat in which it has changed, so it holds two certificates: the one that is served at first, and the authority of all
   * that will follow it.
   */
  readonly verifyCa: string | null;
  /** Makes the next certificate to serve; null if there is none to follow. */
  readonly renew: (() => Promise<TlsServerOptions>) | null;
};

const PLAIN_HTTP: ApiTls = { server: null, verifyCa: null, renew: null };

/** Where the reference keeps the automatic certificate: for people who want to ask this agent by hand. */
const STATE_DIRECTORY = "/run/ironic-python-agent";
export const CERTIFICATE_FILE = `${STATE_DIRECTORY}/agent.crt`;
export const KEY_FILE = `${STATE_DIRECTORY}/agent.key`;

/** `ironicMinor`: newest API version of Ironic, null without Ironic. `host`: what the certificate is for. */
export type ApiTlsCircumstances = {
  readonly ironicMinor: number | null;
  readonly host: string | null;
};

/** TLS 1.2 suites with forward secrecy and AES-GCM, for both kinds of keys. */
const DEFAULT_CIPHERS = [
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
].join(":");

/** @throws ConfigurationError for unusable files of listen_tls, and for cipher suites nobody knows */
export async function chooseApiTls(
  system: System,
  config: Config,
  { ironicMinor, host }: ApiTlsCircumstances,
): Promise<ApiTls> {
  const ciphers = config.get("tls_cipher_suites") ?? DEFAULT_CIPHERS;
  const problem = tlsMaterialProblem({ ciphers });
  if (problem !== null)
    throw new ConfigurationError(
      `tls_cipher_suites (from ${config.origin("tls_cipher_suites")}): "${ciphers}": ${problem}`,
      1,
    );
  const policy = { minVersion: config.get("tls_min_version"), ciphers };
  if (config.get("listen_tls"))
    return { server: { ...policy, ...(await operatorTls(system, config)) }, verifyCa: null, renew: null };
  if (!config.get("enable_auto_tls") || ironicMinor === null || host === null) return PLAIN_HTTP;
  if (ironicMinor < API_MINOR.agentVerifyCa) {
    system.log.warning(
      `Ironic does not support automated TLS (its API ends at 1.${ironicMinor}): serving plain HTTP`,
    );
    return PLAIN_HTTP;
  }
  const request = () => ({
    hostname: system.hostname,
    host,
    curve: config.get("tls_certificate_curve"),
    now: system.clock.now(),
    allowedClockSkew: config.get("auto_tls_allowed_clock_skew"),
  });
  const first = await makeCertificate(request());
  const authority = await makeAuthority(request());
  const verifyCa = first.cert + authority.cert;
  await keep(system, { cert: verifyCa, key: first.key });
  return {
    server: { ...policy, ...first },
    verifyCa,
    async renew() {
      const next = await authority.issue(request());
      await keep(system, { cert: verifyCa, key: next.key });
      return { ...policy, ...next };
    },
  };
}

/** Nothing depends on these files: the agent serves from memory. */
async function keep({ files, log }: System, { cert, key }: Certificate): Promise<void> {
  try {
    await files.makeDirectory(STATE_DIRECTORY, 0o700);
    await files.write(CERTIFICATE_FILE, cert, 0o644);
    await files.write(KEY_FILE, key, 0o600);
  } catch (error) {
    log.warning("The automatic TLS certificate could not be written down; serving it all the same", error);
  }
}

/** The files an operator configured. [ssl] version means exactly one version. */
async function operatorTls(
  system: System,
  config: Config,
): Promise<Pick<TlsServerOptions, "cert" | "key" | "clientCa"> & Partial<TlsServerOptions>> {
  const read = async (name: "tls_cert_file" | "tls_key_file" | "ssl.ca_file", path: string) => {
    try {
      return await system.files.readText(path);
    } catch (error) {
      throw new ConfigurationError(`${name} (from ${config.origin(name)}): ${errorText(error)}`, 1);
    }
  };
  const required = async (name: "tls_cert_file" | "tls_key_file") => {
    const path = config.get(name);
    if (path === null) throw new ConfigurationError(`listen_tls needs ${name}`, 1);
    return read(name, path);
  };
  const where = (name: "tls_cert_file" | "tls_key_file") =>
    `${name} (from ${config.origin(name)}): ${config.get(name)}`;
  const [cert, key] = [await required("tls_cert_file"), await required("tls_key_file")];
  requirePair(cert, key, where);
  warnIfNotValid(system, cert, where("tls_cert_file"));
  const caFile = config.get("ssl.ca_file");
  const clientCa = caFile === null ? null : await read("ssl.ca_file", caFile);
  if (clientCa !== null && understood(() => new X509Certificate(clientCa)) === null)
    throw new ConfigurationError(
      `ssl.ca_file (from ${config.origin("ssl.ca_file")}): ${caFile} holds no PEM certificate`,
      1,
    );
  const version = config.get("ssl.version");
  const only = version === "TLSv1_2" ? "1.2" : version === "TLSv1_3" ? "1.3" : null;
  return {
    cert,
    key,
    clientCa,
    ...(only === null ? {} : { minVersion: only, maxVersion: only }),
  };
}

/** Checked here, because the listening socket would blame its address for a bad certificate. @throws ConfigurationError */
function requirePair(
  cert: string,
  key: string,
  where: (name: "tls_cert_file" | "tls_key_file") => string,
): void {
  const certificate = understood(() => new X509Certificate(cert));
  if (certificate === null)
    throw new ConfigurationError(`${where("tls_cert_file")} holds no PEM certificate`, 1);
  const privateKey = understood(() => createPrivateKey(key));
  if (privateKey === null)
    throw new ConfigurationError(`${where("tls_key_file")} holds no PEM private key without a password`, 1);
  if (!certificate.checkPrivateKey(privateKey))
    throw new ConfigurationError(
      `${where("tls_key_file")} is not the key of the certificate in ${where("tls_cert_file")}`,
      1,
    );
}

/** The clock may be what is wrong, so this is no reason to serve nobody. */
function warnIfNotValid({ clock, log }: System, cert: string, where: string): void {
  const { validFrom, validTo } = new X509Certificate(cert);
  const now = clock.now() * 1000;
  if (now < Date.parse(validFrom) || now > Date.parse(validTo))
    log.warning(
      `${where} is valid from ${validFrom} to ${validTo}, and this machine's clock says ` +
        `${new Date(now).toISOString()}: clients will refuse it`,
    );
}

/** What `read` makes of a file's content, or null if that is not what it should be. */
function understood<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null; // OpenSSL's words ("NO_START_LINE") say less than the caller does
  }
}
