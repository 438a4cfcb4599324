// crypt(3) with SHA-512 (`$6$`), for the rescue user's password. Own code because the libraries at hand disagree with crypt(3) for
// passwords whose length is a multiple of 64 bytes, which would lock a tenant out of a node in rescue.
// Source: Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512"; the numbers of the steps are its own.

import { sha512 } from "@noble/hashes/sha2.js";

const ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const DEFAULT_ROUNDS = 5000;
const DIGEST_SIZE = 64;
/** Characters of the salt that count. */
const SALT_LENGTH = 16;

/** Bytes: crypt(3) takes no more, and the time grows with the square of the length. */
export const LONGEST_PASSWORD = 511;

/** Why crypt(3) would not take this password; null if it does. */
export function refusedPassword(password: string): string | null {
  if (new TextEncoder().encode(password).length > LONGEST_PASSWORD)
    return `it is longer than ${LONGEST_PASSWORD} bytes`;
  return password.includes("\0") ? "it contains a NUL character" : null;
}

/** A new salt of 16 characters, 96 random bits. */
export function randomSalt(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SALT_LENGTH));
  return [...bytes].map((byte) => ALPHABET.charAt(byte % ALPHABET.length)).join("");
}

/**
 * The line for /etc/shadow: `$6$<salt>$<hash>`, with `rounds=` in between if they are given.
 * @throws RangeError for a password that crypt(3) would not take, or a salt that it would not give back.
 */
export function sha512Crypt(password: string, salt: string, rounds: number | null = null): string {
  const reason = refusedPassword(password);
  if (reason !== null) throw new RangeError(`the password cannot be used: ${reason}`);
  const key = new TextEncoder().encode(password);
  if (!/^[./0-9A-Za-z]+$/.test(salt)) throw new RangeError("the salt has characters that no salt may have");
  const usedSalt = salt.slice(0, SALT_LENGTH);
  const digest = stretch(key, new TextEncoder().encode(usedSalt), rounds ?? DEFAULT_ROUNDS);
  return `$6$${rounds === null ? "" : `rounds=${rounds}$`}${usedSalt}$${encode(digest)}`;
}

function stretch(key: Uint8Array, salt: Uint8Array, rounds: number): Uint8Array {
  const initial = mix(key, salt); // steps 1 to 12
  // Steps 13 to 20: what goes into every round stands for key and salt, in their lengths.
  const keyDigest = hash(Array<Uint8Array>(key.length).fill(key));
  const saltDigest = hash(Array<Uint8Array>(16 + (initial[0] ?? 0)).fill(salt));
  const [keySequence, saltSequence] = [fill(keyDigest, key.length), fill(saltDigest, salt.length)];
  let digest = initial;
  for (let round = 0; round < rounds; round++) {
    const odd = round % 2 === 1;
    digest = hash([
      odd ? keySequence : digest,
      ...(round % 3 === 0 ? [] : [saltSequence]),
      ...(round % 7 === 0 ? [] : [keySequence]),
      odd ? digest : keySequence,
    ]);
  }
  return digest;
}

function mix(key: Uint8Array, salt: Uint8Array): Uint8Array {
  const alternate = hash([key, salt, key]);
  const parts = [key, salt, fill(alternate, key.length)];
  for (let bits = key.length; bits > 0; bits >>= 1) parts.push(bits % 2 === 1 ? alternate : key);
  return hash(parts);
}

function hash(parts: readonly Uint8Array[]): Uint8Array {
  const hasher = sha512.create();
  for (const part of parts) hasher.update(part);
  return hasher.digest();
}

/** `length` bytes: the digest over and over. */
function fill(digest: Uint8Array, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => digest[index % DIGEST_SIZE] ?? 0);
}

/** Step 22: three bytes from far apart make four characters, and the next three are each one on, turned by one place. */
function encode(digest: Uint8Array): string {
  const byte = (index: number) => digest[index] ?? 0;
  let text = "";
  for (let i = 0, places = [0, 21, 42]; i < 21; i++) {
    const [high = 0, middle = 0, low = 0] = places;
    text += characters((byte(high) << 16) | (byte(middle) << 8) | byte(low), 4);
    places = [middle + 1, low + 1, high + 1];
  }
  return text + characters(byte(DIGEST_SIZE - 1), 2);
}

/** Lowest six bits first. */
function characters(value: number, count: number): string {
  return Array.from({ length: count }, (_, index) => ALPHABET.charAt((value >> (6 * index)) & 63)).join("");
}
