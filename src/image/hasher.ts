// Digests of images while they pass by. The portable engine (noble, plain JavaScript) leads: the native one is ten times as
// fast, but its code depends on the processor, and a deploy must not fail, nor pass, on a broken instruction. Both run
// over the image's beginning; if they agree, the native one carries on alone.

import { createHash } from "node:crypto";
import { blake2b, blake2s } from "@noble/hashes/blake2.js";
import { md5, sha1 } from "@noble/hashes/legacy.js";
import { sha224, sha256, sha384, sha512, sha512_256 } from "@noble/hashes/sha2.js";
import { sha3_224, sha3_256, sha3_384, sha3_512 } from "@noble/hashes/sha3.js";
import type { Logger } from "../system/log.ts";

/** Names as `os_hash_algo` has them (Python's hashlib), with the portable and the native implementation of each. */
const ALGORITHMS = {
  md5: { portable: md5, native: "md5" },
  sha1: { portable: sha1, native: "sha1" },
  sha224: { portable: sha224, native: "sha224" },
  sha256: { portable: sha256, native: "sha256" },
  sha384: { portable: sha384, native: "sha384" },
  sha512: { portable: sha512, native: "sha512" },
  sha512_256: { portable: sha512_256, native: "sha512-256" },
  sha3_224: { portable: sha3_224, native: "sha3-224" },
  sha3_256: { portable: sha3_256, native: "sha3-256" },
  sha3_384: { portable: sha3_384, native: "sha3-384" },
  sha3_512: { portable: sha3_512, native: "sha3-512" },
  blake2b: { portable: blake2b, native: "blake2b512" },
  blake2s: { portable: blake2s, native: "blake2s256" },
} as const;

export type HashAlgorithm = keyof typeof ALGORITHMS;
export type HashEngine = "auto" | "noble" | "native";

/**
 * Bytes over which the engines are compared: thousands of blocks through every code path of both. More would cost: plain
 * JavaScript that has just been started takes 0.3 s for its first mebibyte.
 */
const AGREEMENT_BYTES = 256 * 1024;

/** A digest in the making; asking for the digest does not end it. */
export type RunningHash = { update(bytes: Uint8Array): void; hexSoFar(): string };

export type HasherOptions = {
  readonly algorithm: HashAlgorithm;
  readonly engine: HashEngine;
  readonly log: Logger;
  /** The native engine; replaced in tests of a broken one. */
  readonly native?: (algorithm: HashAlgorithm) => RunningHash;
};

/** The algorithm a name means, case and `-`/`_` folded (`SHA-512`, `sha3-256`); null if it is not supported. */
export function hashAlgorithm(name: string): HashAlgorithm | null {
  const fold = (text: string) => text.toLowerCase().replaceAll(/[-_]/g, "");
  const names = Object.keys(ALGORITHMS) as HashAlgorithm[];
  return names.find((known) => fold(known) === fold(name.trim())) ?? null;
}

/** Hex digits of a digest. */
export function digestDigits(algorithm: HashAlgorithm): number {
  return ALGORITHMS[algorithm].portable.outputLen * 2;
}

export class ImageHasher {
  readonly #options: HasherOptions;
  #leading: RunningHash;
  /** The engine under test; null once the question is settled. */
  #candidate: RunningHash | null;
  #bytes = 0;

  constructor(options: HasherOptions) {
    const { algorithm, engine, native = nativeHash } = options;
    this.#options = options;
    this.#leading = engine === "native" ? native(algorithm) : portableHash(algorithm);
    this.#candidate = engine === "auto" ? native(algorithm) : null;
  }

  update(bytes: Uint8Array): void {
    const compared = this.#compare(bytes);
    if (compared < bytes.length) this.#leading.update(bytes.subarray(compared));
  }

  /** Lower-case hex digest of everything so far. */
  digest(): string {
    if (this.#candidate !== null) this.#settle(this.#candidate);
    return this.#leading.hexSoFar();
  }

  /** Feeds both engines while their agreement is open; how many bytes that took. */
  #compare(bytes: Uint8Array): number {
    if (this.#candidate === null) return 0;
    const compared = bytes.subarray(0, AGREEMENT_BYTES - this.#bytes);
    this.#leading.update(compared);
    this.#candidate.update(compared);
    this.#bytes += compared.length;
    if (this.#bytes === AGREEMENT_BYTES) this.#settle(this.#candidate);
    return compared.length;
  }

  #settle(candidate: RunningHash): void {
    this.#candidate = null;
    if (candidate.hexSoFar() === this.#leading.hexSoFar()) {
      this.#leading = candidate;
      return;
    }
    const { algorithm, log } = this.#options;
    log.warning(
      `this machine's native ${algorithm} differs from the portable one over the first ${this.#bytes} bytes: ` +
        "the processor or the memory is faulty. Going on with the portable one, which is slow.",
    );
  }
}

function portableHash(algorithm: HashAlgorithm): RunningHash {
  const hash = ALGORITHMS[algorithm].portable.create();
  return {
    update: (bytes) => {
      hash.update(bytes);
    },
    hexSoFar: () => Buffer.from(hash.clone().digest()).toString("hex"),
  };
}

function nativeHash(algorithm: HashAlgorithm): RunningHash {
  const hash = createHash(ALGORITHMS[algorithm].native);
  return {
    update: (bytes) => {
      hash.update(bytes);
    },
    hexSoFar: () => hash.copy().digest("hex"),
  };
}
