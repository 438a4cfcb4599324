// Which digest an image must have: the os_hash pair, a plain checksum whose length tells the algorithm, or a checksum file
// behind a URL. Source: deploy specification 1.3.

import { ImageDownloadError, RestError } from "../errors.ts";
import type { Logger } from "../system/log.ts";
import { fileNameOfUrl, findChecksum } from "./checksum-file.ts";
import { digestDigits, type HashAlgorithm, hashAlgorithm } from "./hasher.ts";
import { shownUrl } from "./http-get.ts";
import { type ImageInfo, isHttpUrl } from "./image-info.ts";

/** What is to be computed and what must come out: lower-case hex. */
export type Checksum = { readonly algorithm: HashAlgorithm; readonly expected: string };

export type ChecksumOptions = {
  readonly md5Enabled: boolean;
  readonly log: Logger;
  /** The text behind a checksum URL, size-limited, fetched as the image itself would be. */
  readonly fetchText: (url: string) => Promise<string>;
};

const ALGORITHM_BY_DIGITS = new Map<number, HashAlgorithm>([
  [32, "md5"],
  [64, "sha256"],
  [128, "sha512"],
]);

/** @throws RestError if the image cannot be verified, ImageDownloadError if a checksum file is of no use. */
export async function chooseChecksum(image: ImageInfo, options: ChecksumOptions): Promise<Checksum> {
  const named = image.osHash === null ? null : permitted(hashAlgorithm(image.osHash.algorithm), options);
  if (image.osHash !== null && named !== null) {
    const expected = await literalDigest(image.osHash.value, named, image, options);
    if (expected.length !== digestDigits(named))
      options.log.warning(
        `os_hash_algo is ${named}, but the value has ${expected.length} digits, not ${digestDigits(named)}`,
      );
    return { algorithm: named, expected };
  }
  if (image.checksum === null)
    throw new RestError(
      `Image ${image.id} cannot be verified with the available checksums: os_hash_algo ` +
        `'${image.osHash?.algorithm}' is not supported and no 'checksum' is given.`,
    );
  const expected = await literalDigest(image.checksum, null, image, options);
  const algorithm = ALGORITHM_BY_DIGITS.get(expected.length);
  if (algorithm === undefined)
    throw new RestError(
      `Unable to identify the algorithm of the checksum of image ${image.id}: it has ${expected.length} digits, ` +
        "not 32 (MD5), 64 (SHA-256) or 128 (SHA-512). Give os_hash_algo and os_hash_value instead.",
    );
  if (permitted(algorithm, options) === null)
    throw new RestError(
      `MD5 support is disabled, and the checksum of image ${image.id} is an MD5 digest. Give os_hash_algo and ` +
        "os_hash_value, or a SHA-256 or SHA-512 checksum.",
    );
  return { algorithm, expected };
}

function permitted(algorithm: HashAlgorithm | null, options: ChecksumOptions): HashAlgorithm | null {
  return algorithm === "md5" && !options.md5Enabled ? null : algorithm;
}

async function literalDigest(
  value: string,
  wanted: HashAlgorithm | null,
  image: ImageInfo,
  options: ChecksumOptions,
): Promise<string> {
  if (!isHttpUrl(value)) return value.trim().toLowerCase();
  const found = findChecksum(await options.fetchText(value), image.urls.map(fileNameOfUrl), wanted);
  if ("problem" in found) throw new ImageDownloadError(shownUrl(value), found.problem);
  return found.digest.toLowerCase();
}
