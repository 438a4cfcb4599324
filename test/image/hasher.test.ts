import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import {
  digestDigits,
  type HashEngine,
  hashAlgorithm,
  ImageHasher,
  type RunningHash,
} from "../../src/image/hasher.ts";
import { recordedSystem } from "../support/recorded-system.ts";

/** Digests of "abc" as Python's hashlib gives them. */
const ABC: Record<string, string> = {
  md5: "900150983cd24fb0d6963f7d28e17f72",
  sha1: "a9993e364706816aba3e25717850c26c9cd0d89d",
  sha224: "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
  sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  sha384: "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
  sha512:
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
  sha512_256: "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23",
  sha3_224: "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf",
  sha3_256: "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
  sha3_384:
    "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25",
  sha3_512:
    "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
  blake2b:
    "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
  blake2s: "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
};

describe("every algorithm on every engine", () => {
  for (const [name, expected] of Object.entries(ABC)) {
    for (const engine of ["auto", "noble", "native"] as HashEngine[]) {
      test(`${name}, ${engine}`, () => {
        const algorithm = hashAlgorithm(name)!;
        const hasher = new ImageHasher({ algorithm, engine, log: recordedSystem().log });
        hasher.update(Buffer.from("a"));
        hasher.update(Buffer.from("bc"));
        expect(hasher.digest()).toBe(expected);
        expect(digestDigits(algorithm)).toBe(expected.length);
      });
    }
  }
});

test("names are folded; unknown ones are null", () => {
  expect(hashAlgorithm("SHA-512")).toBe("sha512");
  expect(hashAlgorithm("sha512/256")).toBeNull();
  expect(hashAlgorithm("SHA-512-256")).toBe("sha512_256");
  expect(hashAlgorithm("sha3-256")).toBe("sha3_256");
  expect(hashAlgorithm("crc32")).toBeNull();
});

test("any split of the bytes gives the same digest, across the point where the engines change", () => {
  const bytes = Buffer.alloc(1024 * 1024, "0123456789abcdef!");
  const expected = createHash("sha256").update(bytes).digest("hex");
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 6 }), (cuts) => {
      const hasher = new ImageHasher({ algorithm: "sha256", engine: "auto", log: recordedSystem().log });
      const points = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      for (let i = 1; i < points.length; i++) hasher.update(bytes.subarray(points[i - 1], points[i]));
      expect(hasher.digest()).toBe(expected);
    }),
    { numRuns: 10 },
  );
});

/** Bytes after which the question is settled. */
const COMPARED = 256 * 1024;

/** A native engine that miscounts, and tells how many bytes it was given. */
function broken(fed: { bytes: number }): () => RunningHash {
  return () => ({
    update: (bytes) => {
      fed.bytes += bytes.length;
    },
    hexSoFar: () => "bad",
  });
}

test("a native engine that differs is dropped with a warning, and the portable one decides", () => {
  for (const size of [1000, 300_000]) {
    const system = recordedSystem();
    const fed = { bytes: 0 };
    const hasher = new ImageHasher({
      algorithm: "sha256",
      engine: "auto",
      log: system.log,
      native: broken(fed),
    });
    const bytes = Buffer.alloc(size, 7);
    hasher.update(bytes);
    hasher.update(bytes);
    expect(hasher.digest()).toBe(createHash("sha256").update(bytes).update(bytes).digest("hex"));
    expect(system.records.map(({ level }) => level)).toEqual(["WARNING"]);
    expect(system.records[0]?.message).toContain("native sha256 differs");
    expect(fed.bytes).toBe(size === 1000 ? 2000 : COMPARED);
  }
});

test("after agreement only the native engine goes on", () => {
  const fed = { bytes: 0 };
  const real = createHash("sha256");
  const native = (): RunningHash => ({
    update: (bytes) => {
      fed.bytes += bytes.length;
      real.update(bytes);
    },
    hexSoFar: () => (fed.bytes > COMPARED ? "the native one answers" : real.copy().digest("hex")),
  });
  const hasher = new ImageHasher({ algorithm: "sha256", engine: "auto", log: recordedSystem().log, native });
  const mebibyte = Buffer.alloc(1024 * 1024);
  for (let i = 0; i < 3; i++) hasher.update(mebibyte);
  expect(hasher.digest()).toBe("the native one answers");
});
