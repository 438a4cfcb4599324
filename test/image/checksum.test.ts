import { describe, expect, test } from "bun:test";
import { ImageDownloadError, RestError } from "../../src/errors.ts";
import { chooseChecksum } from "../../src/image/checksum.ts";
import { parseImageInfo } from "../../src/image/image-info.ts";
import type { JsonObject } from "../../src/json.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { thrower } from "../support/rejection.ts";

const SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

async function choose(
  fields: JsonObject,
  options: { md5Enabled?: boolean; files?: Record<string, string> } = {},
) {
  const md5Enabled = options.md5Enabled ?? true;
  const image = parseImageInfo({ id: "img", urls: ["http://a/image.img"], ...fields }, { md5Enabled: true });
  const system = recordedSystem();
  const checksum = await chooseChecksum(image, {
    md5Enabled,
    log: system.log,
    fetchText: async (url) => {
      const text = options.files?.[url];
      if (text === undefined) throw new Error(`not recorded: ${url}`);
      return text;
    },
  });
  return { ...checksum, warnings: system.records.map(({ message }) => message) };
}

// contract 10.44
describe("the algorithm", () => {
  // deploy 11.7; deploy 10, bugs 11 and 12
  test("of a plain checksum is told by its length", async () => {
    expect(await choose({ checksum: "a".repeat(32) })).toMatchObject({ algorithm: "md5" });
    expect(await choose({ checksum: "a".repeat(64) })).toMatchObject({ algorithm: "sha256" });
    expect(await choose({ checksum: "a".repeat(128) })).toMatchObject({ algorithm: "sha512" });
  });

  test("40 digits cannot be told", async () => {
    const error = await choose({ checksum: "a".repeat(40) }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RestError);
    expect((error as RestError).details).toContain("it has 40 digits");
  });

  // deploy 11.8
  test("of the os_hash pair wins over the checksum; spelling is folded", async () => {
    for (const algo of ["sha256", "SHA-256", "Sha_256"])
      expect(
        await choose({ checksum: "a".repeat(32), os_hash_algo: algo, os_hash_value: SHA256 }),
      ).toMatchObject({
        algorithm: "sha256",
        expected: SHA256,
      });
  });

  test("unsupported: falls back to the checksum, or cannot be verified", async () => {
    const pair = { os_hash_algo: "crc32", os_hash_value: "abcd" };
    expect(await choose({ ...pair, checksum: SHA256 })).toMatchObject({
      algorithm: "sha256",
      expected: SHA256,
    });
    expect(await thrower(choose(pair))).toThrow("cannot be verified with the available checksums");
  });

  test("MD5 where it is not permitted", async () => {
    expect(await thrower(choose({ checksum: "a".repeat(32) }, { md5Enabled: false }))).toThrow(
      "MD5 support is disabled",
    );
    const pair = { os_hash_algo: "md5", os_hash_value: "a".repeat(32), checksum: SHA256 };
    expect(await choose(pair, { md5Enabled: false })).toMatchObject({ algorithm: "sha256" });
  });
});

describe("the value", () => {
  // deploy 11.9; deploy 10, bug 9
  test("is trimmed and lower-cased", async () => {
    expect((await choose({ checksum: ` ${SHA256.toUpperCase()} ` })).expected).toBe(SHA256);
  });

  test("of the wrong length for its algorithm: a warning, and on", async () => {
    const { algorithm, warnings } = await choose({ os_hash_algo: "sha512", os_hash_value: SHA256 });
    expect(algorithm).toBe("sha512");
    expect(warnings).toEqual(["os_hash_algo is sha512, but the value has 64 digits, not 128"]);
  });

  test("behind a URL is looked up under the image's name", async () => {
    const files = { "http://a/SUMS": `${"0".repeat(64)}  x\n${SHA256}  image.img\n` };
    expect(await choose({ checksum: "http://a/SUMS" }, { files })).toMatchObject({
      algorithm: "sha256",
      expected: SHA256,
    });
    expect(await choose({ os_hash_algo: "sha256", os_hash_value: "http://a/SUMS" }, { files })).toMatchObject(
      {
        expected: SHA256,
      },
    );
  });

  // deploy 10, bug 14
  test("an unsupported algorithm together with a checksum URL takes the URL", async () => {
    const files = { "http://a/SUMS": SHA256 };
    const fields = { os_hash_algo: "crc32", os_hash_value: "ab", checksum: "http://a/SUMS" };
    expect(await choose(fields, { files })).toMatchObject({ algorithm: "sha256" });
  });

  test("a useless checksum file is a download error that names it", async () => {
    const url = "http://user:password@a/SUMS?sig=secret";
    const error = await choose({ checksum: url }, { files: { [url]: "" } }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(ImageDownloadError);
    expect((error as ImageDownloadError).details).toBe(
      "Download of image http://a/SUMS?*** failed: Empty checksum file",
    );
  });
});
