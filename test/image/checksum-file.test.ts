import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { fileNameOfUrl, findChecksum } from "../../src/image/checksum-file.ts";

// Thousands of made-up files take their time on a busy machine.
setDefaultTimeout(60_000);

const MD5 = "d41d8cd98f00b204e9800998ecf8427e";
const SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const OTHER = "0".repeat(64);
const SHA512 = "ab".repeat(64);

function find(text: string, name = "image.img", wanted: Parameters<typeof findChecksum>[2] = null) {
  const result = findChecksum(text, [name], wanted);
  return "digest" in result ? result.digest : result.problem;
}

// contract 10.44
// deploy 11.10; deploy 10, bugs 12 and 13
describe("forms", () => {
  const forms: [string, string][] = [
    ["a single value", `${SHA256}\n`],
    ["a single value with CRLF and blank lines", `\r\n  ${SHA256}  \r\n\r\n`],
    ["coreutils, text", `${OTHER}  other.img\n${SHA256}  image.img\n`],
    ["coreutils, binary", `${OTHER} *other.img\n${SHA256} *image.img\n`],
    ["with a directory", `${SHA256}  ./images/image.img`],
    ["digest last", `other.img ${OTHER}\nimage.img ${SHA256}`],
    ["BSD", `SHA256 (other.img) = ${OTHER}\nSHA256 (image.img) = ${SHA256}`],
    [
      "CentOS: comments between",
      `# other.img: 5 bytes\nSHA256 (other.img) = ${OTHER}\n# image.img: 7 bytes\nSHA256 (image.img) = ${SHA256}`,
    ],
    ["a comment that looks like a line", `#${OTHER}  image.img\n${SHA256}  image.img`],
    ["a single value below a comment", `# sums\n${SHA256}`],
  ];
  test.each(forms)("%s", (_, text) => expect(find(text)).toBe(SHA256));

  test("names with everything a regular expression would trip over", () => {
    for (const name of ["a+b.img", "a(1).img", "a[x].img", "a.*", "a b.img", "$a^|.img"]) {
      expect(find(`${OTHER}  zz\n${SHA256}  ${name}`, name)).toBe(SHA256);
      expect(find(`SHA256 (zz) = ${OTHER}\nSHA256 (${name}) = ${SHA256}`, name)).toBe(SHA256);
    }
    expect(find(`${SHA256}  aXimg\n${OTHER} b`, "a.img")).toBe("Checksum file does not contain name a.img");
  });

  test("several algorithms for the name: the one asked for, else the longest", () => {
    const text = `MD5 (image.img) = ${MD5}\nSHA512 (image.img) = ${SHA512}\nSHA256 (image.img) = ${SHA256}`;
    expect(find(text)).toBe(SHA512);
    expect(find(text, "image.img", "sha256")).toBe(SHA256);
    expect(find(text, "image.img", "md5")).toBe(MD5);
  });

  test("sha3-256 is not taken for sha256, though as long", () => {
    const text = `SHA3-256 (image.img) = ${OTHER}\nSHA256 (image.img) = ${SHA256}`;
    expect(find(text, "image.img", "sha256")).toBe(SHA256);
    expect(find(text, "image.img", "sha3_256")).toBe(OTHER);
  });

  test("lengths of rarer algorithms count when asked for", () => {
    expect(find("ab".repeat(20))).toBe("Invalid checksum file");
    expect(find("ab".repeat(20), "image.img", "sha1")).toBe("ab".repeat(20));
  });

  test("the names of further URLs are tried too", () => {
    expect(findChecksum(`${SHA256}  second.img\n${OTHER}  x`, ["first.img", "second.img"], null)).toEqual({
      digest: SHA256,
    });
  });
});

// deploy 11.11
describe("what is of no use", () => {
  test.each([
    ["", "Empty checksum file"],
    [" \r\n\n", "Empty checksum file"],
    ["# nothing but a comment", "Empty checksum file"],
    ["xyz", "Invalid checksum file"],
    [`${OTHER}  other.img`, "Checksum file does not contain name image.img"],
    ["<html>\n<body>image.img</body>\n</html>", "Checksum file does not contain name image.img"],
  ])("%p", (text, problem) => expect(find(text)).toBe(problem));
});

test("the file name of a URL", () => {
  expect(fileNameOfUrl("http://a/b/image.img?sig=1#x")).toBe("image.img");
  expect(fileNameOfUrl("http://a/b/a%2Bb%20c.img")).toBe("a+b c.img");
  expect(fileNameOfUrl("http://a/100%.img")).toBe("100%.img");
});

test("any text gives a digest of a known length or a problem", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string(), (text, name) => {
      const result = findChecksum(text, [name], null);
      if ("digest" in result) expect([32, 64, 128]).toContain(result.digest.length);
    }),
  );
});

test("a listed name is found whatever it is made of", () => {
  const name = fc
    .stringMatching(/^[!-~]([ -~]*[!-~])?$/)
    .filter((text) => !text.includes("/") && !/^[#*(]/.test(text));
  fc.assert(
    fc.property(name, (listed) => {
      expect(find(`${OTHER}  other-name\n${SHA256}  ${listed}`, listed)).toBe(
        listed === "other-name" ? OTHER : SHA256,
      );
    }),
  );
});
