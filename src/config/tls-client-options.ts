// How the agent verifies servers and identifies itself to them: from options that name files to TLS material that is known to
// be usable. The same for Ironic and for image servers.
// Source: control-plane specification 2.6.2 and 5.1.

import { errorText } from "../errors.ts";
import type { TlsClientOptions } from "../system/http-client.ts";
import type { System } from "../system/system.ts";
import { tlsMaterialProblem } from "../system/tls-material.ts";
import type { Config } from "./config.ts";
import { ConfigurationError } from "./configuration-error.ts";
import type { OptionName } from "./options.ts";

/** @throws ConfigurationError naming the option whose file or value cannot be used. */
export async function tlsClientOptions(
  { files }: Pick<System, "files">,
  config: Config,
): Promise<TlsClientOptions> {
  const named = (name: OptionName) => `${name} (from ${config.origin(name)})`;
  const read = async (name: "cafile" | "certfile" | "keyfile") => {
    const path = config.get(name);
    if (path === null) return null;
    try {
      return await files.readText(path);
    } catch (error) {
      throw new ConfigurationError(`${named(name)}: ${errorText(error)}`, 1);
    }
  };
  const require = (what: string, problem: string | null) => {
    if (problem !== null) throw new ConfigurationError(`${what} cannot be used: ${problem}`, 1);
  };

  const verify = !config.get("insecure");
  const ca = verify ? await read("cafile") : null;
  const caName = `${config.get("cafile")}, ${named("cafile")}`;
  // An empty one would be taken for "none" by the runtime, and everything be refused for another reason.
  if (ca !== null) require(caName, ca.trim() === "" ? "it is empty" : tlsMaterialProblem({ ca }));

  // One without the other is worth a warning at the start (agent.ts) and nothing more.
  const both = config.get("certfile") !== null && config.get("keyfile") !== null;
  const [cert, key] = both ? [await read("certfile"), await read("keyfile")] : [null, null];
  const certificate = cert !== null && key !== null ? { cert, key } : null;
  if (certificate !== null)
    require(`The client certificate ${config.get("certfile")}, ${named("certfile")}, with the key ${config.get("keyfile")}, ` +
      `${named("keyfile")},`, tlsMaterialProblem(certificate));

  const ciphers = config.get("tls_cipher_suites");
  if (ciphers !== null)
    require(`"${ciphers}", ${named("tls_cipher_suites")},`, tlsMaterialProblem({ ciphers }));
  return {
    verify,
    ca,
    ...(ca === null ? {} : { caName }),
    certificate,
    minVersion: config.get("tls_min_version"),
    ciphers,
  };
}
