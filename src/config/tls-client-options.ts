// How the agent verifies servers and identifies itself to them: from options that name files to TLS material.
// The same for Ironic and for image servers.
// Source: control-plane specification 2.6.2 and 5.1.

import { errorText } from "../errors.ts";
import type { TlsClientOptions } from "../system/http-client.ts";
import type { System } from "../system/system.ts";
import type { Config } from "./config.ts";
import { ConfigurationError } from "./configuration-error.ts";

/** @throws ConfigurationError naming the option whose file cannot be read. */
export async function tlsClientOptions(
  { files }: Pick<System, "files">,
  config: Config,
): Promise<TlsClientOptions> {
  const read = async (name: "cafile" | "certfile" | "keyfile") => {
    const path = config.get(name);
    if (path === null) return null;
    try {
      return await files.readText(path);
    } catch (error) {
      throw new ConfigurationError(`${name} (from ${config.origin(name)}): ${errorText(error)}`, 1);
    }
  };
  const verify = !config.get("insecure");
  const [ca, cert, key] = [
    verify ? await read("cafile") : null,
    await read("certfile"),
    await read("keyfile"),
  ];
  return {
    verify,
    ca,
    certificate: cert !== null && key !== null ? { cert, key } : null,
    minVersion: config.get("tls_min_version"),
    ciphers: config.get("tls_cipher_suites"),
  };
}
