// Finds an image's digest in a checksum file, in the forms that distributions publish. Names are compared as text: the
// reference put them into a regular expression, and failed on "c++(1).img".
// Source: deploy specification 1.4.

import { digestDigits, type HashAlgorithm, hashAlgorithm } from "./hasher.ts";

export type ChecksumFileResult = { readonly digest: string } | { readonly problem: string };

/** One usable line: `algorithm` is null where only the length tells. */
type Entry = { readonly name: string; readonly digest: string; readonly algorithm: HashAlgorithm | null };

/** Lengths that mean md5, sha256 and sha512; other algorithms count only when they were asked for by name. */
const COMMON_DIGITS = [32, 64, 128];

/**
 * @param names file names the image may be listed under, in order of preference
 * @param wanted the algorithm os_hash_algo asks for; null takes the longest digest listed
 */
export function findChecksum(
  text: string,
  names: readonly string[],
  wanted: HashAlgorithm | null,
): ChecksumFileResult {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  const [first] = lines;
  if (first === undefined) return { problem: "Empty checksum file" };
  if (lines.length === 1 && !/\s/.test(first))
    return isDigest(first, wanted) ? { digest: first } : { problem: "Invalid checksum file" };
  const entries = lines.map((line) => parseLine(line, wanted)).filter((entry) => entry !== null);
  for (const name of names) {
    const matching = entries.filter((entry) => entry.name === name);
    const best =
      matching.find(({ algorithm, digest }) => wanted !== null && answers(wanted, algorithm, digest)) ??
      matching.reduce<Entry | undefined>(
        (longest, entry) => (entry.digest.length > (longest?.digest.length ?? 0) ? entry : longest),
        undefined,
      );
    if (best !== undefined) return { digest: best.digest };
  }
  return { problem: `Checksum file does not contain name ${names[0]}` };
}

/** The last path segment of a URL, decoded, query and fragment left out: the name in the checksum file. */
export function fileNameOfUrl(url: string): string {
  const segment = new URL(url).pathname.split("/").at(-1) ?? "";
  try {
    return decodeURIComponent(segment);
  } catch (error) {
    // A stray percent sign is legal in practice: then the name is meant as it stands.
    if (error instanceof URIError) return segment;
    throw error;
  }
}

function parseLine(line: string, wanted: HashAlgorithm | null): Entry | null {
  const bsd = /^(\S+) ?\((.+)\) ?= ?([0-9a-f]+)$/i.exec(line);
  if (bsd !== null) {
    const [, label = "", name = "", digest = ""] = bsd;
    return isDigest(digest, wanted)
      ? { name: lastSegment(name), digest, algorithm: hashAlgorithm(label) }
      : null;
  }
  // coreutils: digest, blank, blank or `*` for binary, name.
  const [, before = "", after = ""] = /^(\S+)\s+(.+)$/.exec(line) ?? [];
  if (isDigest(before, wanted))
    return { name: lastSegment(after.replace(/^\*/, "")), digest: before, algorithm: null };
  const [, name = "", digest = ""] = /^(.+?)\s+(\S+)$/.exec(line) ?? [];
  return isDigest(digest, wanted) ? { name: lastSegment(name), digest, algorithm: null } : null;
}

function answers(wanted: HashAlgorithm, algorithm: HashAlgorithm | null, digest: string): boolean {
  return algorithm === null ? digest.length === digestDigits(wanted) : algorithm === wanted;
}

function isDigest(text: string, wanted: HashAlgorithm | null): boolean {
  const known =
    COMMON_DIGITS.includes(text.length) || (wanted !== null && text.length === digestDigits(wanted));
  return known && /^[0-9a-f]+$/i.test(text);
}

function lastSegment(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1);
}
