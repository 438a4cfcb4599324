// Whether CAs, certificate, key and ciphers are of any use, asked before the first connection: a connection that is made with
// unusable ones fails with an error that talks of a typo in the URL.

import { createSecureContext } from "node:tls";

export type TlsMaterial = {
  /** PEM. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** OpenSSL's notation. */
  readonly ciphers?: string;
};

/** Why the runtime cannot use it, or null if it can. */
export function tlsMaterialProblem(material: TlsMaterial): string | null {
  try {
    createSecureContext(material);
    return null;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    // `error:0b000074:X.509 certificate routines:OPENSSL_internal:KEY_VALUES_MISMATCH`: the last part says it.
    return text
      .replace(/^error:.*:/, "")
      .replaceAll("_", " ")
      .toLowerCase();
  }
}
