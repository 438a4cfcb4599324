// The certificate of automatic TLS: self-signed, made anew at every start, sent to Ironic with the heartbeats, which pins it.
// The key never leaves memory. pkijs is loaded only when a certificate is made, so that agents without TLS do not
// pay for it at start-up.
// Source of the fields: control-plane specification 6 and DEV-25.

export type CertificateRequest = {
  /** The common name. */
  readonly hostname: string;
  /** What the conductor connects to: an IP address, or a DNS name. */
  readonly host: string;
  readonly curve: "p256" | "p384" | "p521";
  /** Wall clock, seconds since 1970. */
  readonly now: number;
  /** Seconds that the certificate has been valid for already, for conductors whose clock is behind. */
  readonly allowedClockSkew: number;
};

/** PEM texts. */
export type Certificate = { readonly cert: string; readonly key: string };

const NAMED_CURVES = { p256: "P-256", p384: "P-384", p521: "P-521" } as const;
const VALIDITY = 30 * 24 * 3600;
const OID_COMMON_NAME = "2.5.4.3";
const OID_SUBJECT_ALTERNATIVE_NAME = "2.5.29.17";
/** X.509 allows no longer common name. */
const LONGEST_COMMON_NAME = 64;

/** Makes a key pair and a self-signed certificate for `host`. */
export async function makeCertificate(request: CertificateRequest): Promise<Certificate> {
  const [asn1js, pkijs] = await Promise.all([import("asn1js"), import("pkijs")]);
  const keys = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: NAMED_CURVES[request.curve] },
    true,
    ["sign", "verify"],
  );

  const certificate = new pkijs.Certificate();
  certificate.version = 2; // v3
  certificate.serialNumber = new asn1js.Integer({ valueHex: randomSerial().buffer });
  const commonName = new pkijs.AttributeTypeAndValue({
    type: OID_COMMON_NAME,
    value: new asn1js.Utf8String({ value: request.hostname.slice(0, LONGEST_COMMON_NAME) }),
  });
  certificate.subject.typesAndValues.push(commonName);
  certificate.issuer.typesAndValues.push(commonName);
  certificate.notBefore.value = new Date((request.now - request.allowedClockSkew) * 1000);
  certificate.notAfter.value = new Date((request.now + VALIDITY) * 1000);

  const name = alternativeName(request.host);
  const generalName =
    name.kind === "ip"
      ? new pkijs.GeneralName({ type: 7, value: new asn1js.OctetString({ valueHex: name.bytes.buffer }) })
      : new pkijs.GeneralName({ type: 2, value: name.text });
  certificate.extensions = [
    new pkijs.Extension({
      extnID: OID_SUBJECT_ALTERNATIVE_NAME,
      critical: true,
      extnValue: new pkijs.GeneralNames({ names: [generalName] }).toSchema().toBER(),
    }),
  ];
  await certificate.subjectPublicKeyInfo.importKey(keys.publicKey);
  await certificate.sign(keys.privateKey, "SHA-512");

  return {
    cert: pem("CERTIFICATE", certificate.toSchema(true).toBER()),
    key: pem("PRIVATE KEY", await crypto.subtle.exportKey("pkcs8", keys.privateKey)),
  };
}

type AlternativeName =
  | { readonly kind: "ip"; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: "dns"; readonly text: string };

/** How a host stands in a certificate: addresses as their 4 or 16 bytes, everything else as a DNS name. */
export function alternativeName(host: string): AlternativeName {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(host))
    return { kind: "ip", bytes: Uint8Array.from(host.split("."), Number) };
  if (host.includes(":")) return { kind: "ip", bytes: ipv6Bytes(host) };
  return { kind: "dns", text: host };
}

/** The 16 bytes of an IPv6 literal. The URL parser knows its grammar, and writes out what is left to expand. */
function ipv6Bytes(address: string): Uint8Array<ArrayBuffer> {
  const canonical = new URL(`http://[${address.replace(/%.*$/, "")}]/`).hostname.slice(1, -1);
  const [head = "", tail] = canonical.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const [front, back] = [groups(head), groups(tail ?? "")];
  const zeros = Array<string>(8 - front.length - back.length).fill("0");
  const values = [...front, ...zeros, ...back].map((group) => Number.parseInt(group, 16));
  return Uint8Array.from(values.flatMap((value) => [value >> 8, value & 0xff]));
}

/** 16 random bytes that read as a positive number without leading zeros. */
function randomSerial(): Uint8Array<ArrayBuffer> {
  const serial = crypto.getRandomValues(new Uint8Array(16));
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

function pem(label: string, der: ArrayBuffer): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}
