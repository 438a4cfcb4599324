import { describe, expect, test } from "bun:test";
import { LONGEST_PASSWORD, randomSalt, sha512Crypt } from "../../src/steps/sha512-crypt.ts";

describe("the vectors published with the algorithm", () => {
  test.each([
    [
      "saltstring",
      null,
      "Hello world!",
      "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    ],
    [
      "saltstringsaltstring",
      10_000,
      "Hello world!",
      "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
    ],
    [
      "toolongsaltstring",
      5000,
      "This is just a test",
      "$6$rounds=5000$toolongsaltstrin$lQ8jolhgVRVhY4b5pZKaysCLi0QBxGoNeKQzQ3glMhwllF7oGDZxUhx1yxdYcz/e1JSbq3y6JMxxl8audkUEm0",
    ],
    [
      "anotherlongsaltstring",
      1400,
      "a very much longer text to encrypt.  This one even stretches over morethan one line.",
      "$6$rounds=1400$anotherlongsalts$POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJEiDwGqd8p4ur1",
    ],
    [
      "short",
      77_777,
      "we have a short salt string but not a short password",
      "$6$rounds=77777$short$WuQyW2YR.hBNpjjRhpYD/ifIw05xdfeEyQoMxIXbkvr0gge1a1x3yRULJ5CCaUeOxFmtlcGZelFl5CxtgfiAc0",
    ],
    [
      "asaltof16chars..",
      123_456,
      "a short string",
      "$6$rounds=123456$asaltof16chars..$BtCwjqMJGx5hrJhZywWvt0RLE8uZ4oPwcelCjmw2kSYu.Ec6ycULevoBK25fs2xXgMNrCzIMVcgEJAstJeonj1",
    ],
  ])("%s, %p rounds", (salt, rounds, password, expected) => {
    expect(sha512Crypt(password, salt, rounds)).toBe(expected);
  });
});

describe("others who know the algorithm agree", () => {
  const answer = (argv: string[], stdin = "") =>
    Bun.spawnSync(argv, { stdin: new TextEncoder().encode(stdin) })
      .stdout.toString()
      .trim();

  /** crypt(3) itself, which is what checks the password when somebody logs in. */
  const crypt3 = (password: string, salt: string) =>
    answer(["perl", "-e", `print crypt($ARGV[0], '$6$' . $ARGV[1] . '$')`, password, salt]);

  const openssl = (password: string, salt: string) =>
    answer(["openssl", "passwd", "-6", "-salt", salt, "-stdin"], `${password}\n`);

  // 64 and its multiples are where the libraries at hand go wrong, so every length around them is tried.
  test.each([0, 1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 192, 255, 256, LONGEST_PASSWORD])(
    "crypt(3), password of %d bytes",
    (length) => {
      const password = "Pw0!~".repeat(103).slice(0, length);
      const salt = randomSalt();
      expect(sha512Crypt(password, salt)).toBe(crypt3(password, salt));
    },
  );

  test.each(["p455w0rd", "пароль-密碼-🔑", "x".repeat(64)])("openssl passwd -6, %s", (password) => {
    const salt = randomSalt();
    expect(sha512Crypt(password, salt)).toBe(openssl(password, salt));
  });
});

test("salts are 16 characters of crypt's alphabet, and never the same twice", () => {
  const salts = Array.from({ length: 200 }, randomSalt);
  for (const salt of salts) expect(salt).toMatch(/^[./0-9A-Za-z]{16}$/);
  expect(new Set(salts).size).toBe(salts.length);
});

test("what crypt(3) would not take is refused", () => {
  expect(() => sha512Crypt("x".repeat(LONGEST_PASSWORD + 1), "salt")).toThrow(RangeError);
  expect(() => sha512Crypt("a\0b", "salt")).toThrow(RangeError);
  expect(() => sha512Crypt("x", "")).toThrow(RangeError);
  expect(() => sha512Crypt("x", "a$b")).toThrow(RangeError);
});
