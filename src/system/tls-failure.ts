// What a failed TLS connection means, in words an operator can act on: the runtime's own are for programmers.

import type { TlsClientOptions } from "./http-client.ts";

/** OpenSSL's names for "nobody I trust has signed this". */
const UNTRUSTED = new Set([
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "CERT_UNTRUSTED",
  "INVALID_CA",
]);

/**
 * Text for the runtime's error `code`, or null if the failure has nothing to do with TLS. `now`: the machine's clock, ms.
 * The code comes last, because one that ends in SIGNATURE and a colon looks like a secret header to the redaction.
 */
export function tlsFailureText(code: string, tls: TlsClientOptions | undefined, now: number): string | null {
  const text = explanation(code, tls, new Date(now).toISOString());
  return text === null ? null : `${text} (${code})`;
}

function explanation(code: string, tls: TlsClientOptions | undefined, clock: string): string | null {
  if (UNTRUSTED.has(code)) {
    const ca = tls?.caName ?? "the system's CA store (cafile is not set)";
    return `the server's certificate is not signed by a CA in ${ca}`;
  }
  switch (code) {
    case "CERT_HAS_EXPIRED":
      return `the server's certificate has expired, or this machine's clock (${clock}) is wrong`;
    case "CERT_NOT_YET_VALID":
      return `the server's certificate is not valid yet, or this machine's clock (${clock}) is wrong`;
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return "the server's certificate is for another host than the one in the URL";
    case "EPROTO": {
      const ciphers = tls?.ciphers == null ? "" : ` with the ciphers ${tls.ciphers}`;
      const shown = tls?.certificate == null ? "none is set: certfile, keyfile" : "it was shown one";
      return (
        "the TLS handshake failed. Either the server does not speak TLS on this port, or not TLS " +
        `${tls?.minVersion ?? "1.2"} or newer${ciphers}, or it wants another client certificate (${shown})`
      );
    }
    default:
      return null;
  }
}
