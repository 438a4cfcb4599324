// The certificates of automatic TLS: a self-signed one like the reference's, and an authority whose short certificates follow it.
// Keys are new at every start. pkijs is loaded only when a certificate is made, so that agents without TLS do not pay for it at
// start-up.
// Source of the fields: control-plane specification 6 and DEV-25; of the authority's: RFC 5280 4.2.1.

import type { Certificate as X509 } from "pkijs";

export type CertificateRequest = {
  /** The common name. */
  readonly hostname: string;
  /** What the conductor connects to: an IP address, or a DNS name. */
  readonly host: string;
  readonly curve: keyof typeof NAMED_CURVES;
  /** Wall clock, seconds since 1970. */
  readonly now: number;
  /** Seconds that the certificate has been valid for already, for conductors whose clock is behind. */
  readonly allowedClockSkew: number;
};

/** PEM texts. */
export type Certificate = { readonly cert: string; readonly key: string };

export interface Authority {
  /** PEM of its own certificate. */
  readonly cert: string;
  /** A certificate with a key of its own. */
  issue(request: CertificateRequest): Promise<Certificate>;
}

/** Seconds for which a certificate is valid. */
export const VALIDITY = 30 * 24 * 3600;

const NAMED_CURVES = { p256: "P-256", p384: "P-384", p521: "P-521" } as const;
/**
 * The authority lives as long as the process, however the clock is set meanwhile: RFC 5280 4.1.2.5 has the end for certificates that
 * never expire.
 */
const AUTHORITY_BEGINS = new Date("2000-01-01T00:00:00Z");
const NEVER = new Date("9999-12-31T23:59:59Z");

const OID = {
  commonName: "2.5.4.3",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAlternativeName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
} as const;
/** X.509 allows no longer common name. */
const LONGEST_COMMON_NAME = 64;
/** The bits digitalSignature, and keyCertSign with cRLSign, as KeyUsage counts them from the left. */
const SIGNS_DATA = 0x80;
const SIGNS_CERTIFICATES = 0x06;

/** Makes a key pair and a self-signed certificate for `host`, with the reference's fields and no others. */
export async function makeCertificate(request: CertificateRequest): Promise<Certificate> {
  const maker = await Maker.load();
  const keys = await maker.keys(request.curve);
  const certificate = maker.certificate(request.hostname, request.hostname);
  maker.limit(certificate, request);
  certificate.extensions = [maker.alternativeName(request.host)];
  return maker.sign(certificate, keys, keys.privateKey);
}

/** Makes an authority that never expires. Its certificate alone is enough to verify all that it issues. */
export async function makeAuthority({
  hostname,
  curve,
}: Pick<CertificateRequest, "hostname" | "curve">): Promise<Authority> {
  const maker = await Maker.load();
  const keys = await maker.keys(curve);
  const identifier = await maker.keyIdentifier(keys.publicKey);
  // Verifiers look an issuer up by its name, so it must not be that of a certificate in the same file.
  const name = `ironic-agent CA ${Buffer.from(identifier).toString("hex", 0, 8)} ${hostname}`;
  const certificate = maker.certificate(name, name);
  maker.setValidity(certificate, AUTHORITY_BEGINS, NEVER);
  certificate.extensions = maker.authorityExtensions(identifier);
  const { cert } = await maker.sign(certificate, keys, keys.privateKey);
  return {
    cert,
    async issue(request) {
      const leafKeys = await maker.keys(request.curve);
      const leaf = maker.certificate(request.hostname, name);
      maker.limit(leaf, request);
      leaf.extensions = [
        maker.alternativeName(request.host),
        ...maker.leafExtensions(identifier, await maker.keyIdentifier(leafKeys.publicKey)),
      ];
      return maker.sign(leaf, leafKeys, keys.privateKey);
    },
  };
}

/** The libraries, and what both kinds of certificates are made with. */
class Maker {
  static async load(): Promise<Maker> {
    const [asn1js, pkijs] = await Promise.all([import("asn1js"), import("pkijs")]);
    return new Maker(asn1js, pkijs);
  }

  private constructor(
    private readonly asn1js: typeof import("asn1js"),
    private readonly pkijs: typeof import("pkijs"),
  ) {}

  keys(curve: CertificateRequest["curve"]): Promise<CryptoKeyPair> {
    const algorithm = { name: "ECDSA", namedCurve: NAMED_CURVES[curve] };
    return crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  }

  certificate(subject: string, issuer: string): X509 {
    const { asn1js, pkijs } = this;
    const certificate = new pkijs.Certificate();
    certificate.version = 2; // v3
    certificate.serialNumber = new asn1js.Integer({ valueHex: randomSerial().buffer });
    const commonName = (name: string) =>
      new pkijs.AttributeTypeAndValue({
        type: OID.commonName,
        value: new asn1js.Utf8String({ value: name.slice(0, LONGEST_COMMON_NAME) }),
      });
    certificate.subject.typesAndValues.push(commonName(subject));
    certificate.issuer.typesAndValues.push(commonName(issuer));
    return certificate;
  }

  limit(certificate: X509, { now, allowedClockSkew }: CertificateRequest): void {
    const from = new Date((now - allowedClockSkew) * 1000);
    this.setValidity(certificate, from, new Date((now + VALIDITY) * 1000));
  }

  setValidity(certificate: X509, from: Date, to: Date): void {
    const { pkijs } = this;
    // RFC 5280: UTCTime up to 2049, GeneralizedTime from then on.
    const time = (value: Date) => new pkijs.Time({ type: value.getUTCFullYear() < 2050 ? 0 : 1, value });
    certificate.notBefore = time(from);
    certificate.notAfter = time(to);
  }

  /** SHA-1 of the key's bits, as RFC 5280 4.2.1.2 suggests; it is a name and protects nothing. */
  async keyIdentifier(publicKey: CryptoKey): Promise<ArrayBuffer> {
    const info = new this.pkijs.PublicKeyInfo();
    await info.importKey(publicKey);
    return crypto.subtle.digest("SHA-1", info.subjectPublicKey.valueBlock.valueHexView.slice());
  }

  alternativeName(host: string) {
    const { asn1js, pkijs } = this;
    const name = alternativeName(host);
    const generalName =
      name.kind === "ip"
        ? new pkijs.GeneralName({ type: 7, value: new asn1js.OctetString({ valueHex: name.bytes.buffer }) })
        : new pkijs.GeneralName({ type: 2, value: name.text });
    const names = new pkijs.GeneralNames({ names: [generalName] });
    return this.#extension(OID.subjectAlternativeName, true, names.toSchema());
  }

  authorityExtensions(identifier: ArrayBuffer) {
    const { asn1js, pkijs } = this;
    return [
      this.#extension(
        OID.basicConstraints,
        true,
        new pkijs.BasicConstraints({ cA: true, pathLenConstraint: 0 }).toSchema(),
      ),
      this.#keyUsage(SIGNS_CERTIFICATES),
      this.#extension(OID.subjectKeyIdentifier, false, new asn1js.OctetString({ valueHex: identifier })),
    ];
  }

  leafExtensions(issuer: ArrayBuffer, own: ArrayBuffer) {
    const { asn1js, pkijs } = this;
    const keyIdentifier = new asn1js.OctetString({ valueHex: issuer });
    return [
      this.#keyUsage(SIGNS_DATA),
      this.#extension(
        OID.authorityKeyIdentifier,
        false,
        new pkijs.AuthorityKeyIdentifier({ keyIdentifier }).toSchema(),
      ),
      this.#extension(OID.subjectKeyIdentifier, false, new asn1js.OctetString({ valueHex: own })),
    ];
  }

  async sign(certificate: X509, keys: CryptoKeyPair, signer: CryptoKey): Promise<Certificate> {
    await certificate.subjectPublicKeyInfo.importKey(keys.publicKey);
    await certificate.sign(signer, "SHA-512");
    return {
      cert: pem("CERTIFICATE", certificate.toSchema(true).toBER()),
      key: pem("PRIVATE KEY", await crypto.subtle.exportKey("pkcs8", keys.privateKey)),
    };
  }

  #keyUsage(bits: number) {
    // A DER BIT STRING names the bits that are not used: those behind the last one set.
    const unusedBits = Math.log2(bits & -bits);
    const usage = new this.asn1js.BitString({ valueHex: Uint8Array.of(bits).buffer, unusedBits });
    return this.#extension(OID.keyUsage, true, usage);
  }

  #extension(extnID: string, critical: boolean, value: { toBER(): ArrayBuffer }) {
    return new this.pkijs.Extension({ extnID, critical, extnValue: value.toBER() });
  }
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
