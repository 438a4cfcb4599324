import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { IniError, parseIni } from "../../src/config/ini.ts";

/** section/key → value, the last one counting, as the loader reads it. */
function values(text: string): Record<string, string> {
  return Object.fromEntries(
    parseIni(text).map(({ section, key, value }) => [`${section}/${key}`, value] as const),
  );
}

function errorLine(text: string): number {
  try {
    parseIni(text);
  } catch (error) {
    if (error instanceof IniError) return error.line;
    throw error;
  }
  throw new Error("no error");
}

describe("the INI dialect", () => {
  test("pairs with = and :, whichever comes first, in sections; comments and blank lines do not matter", () => {
    const text =
      "# comment\n[DEFAULT]\na = 1\nb: 2\nc=x:y\nd:x=y\n\n; other\n[ssl]\ncert_file=/c.pem\n[DEFAULT]\na=3\n";
    expect(values(text)).toEqual({
      "DEFAULT/a": "3",
      "DEFAULT/b": "2",
      "DEFAULT/c": "x:y",
      "DEFAULT/d": "x=y",
      "ssl/cert_file": "/c.pem",
    });
  });

  test("there are no inline comments", () => {
    expect(values("[DEFAULT]\nlisten_port = 5 # c\n")).toEqual({ "DEFAULT/listen_port": "5 # c" });
  });

  test("one pair of equal quotes round the whole value is stripped, nothing else", () => {
    expect(values(`[D]\na="x y"\nb='x'\nc="x'\nd=""x""\ne="\nf=a"b"\n`)).toEqual({
      "D/a": "x y",
      "D/b": "x",
      "D/c": `"x'`,
      "D/d": `"x"`,
      "D/e": `"`,
      "D/f": `a"b"`,
    });
  });

  test("indented lines continue a value; a blank line or a comment ends it", () => {
    expect(values("[D]\na = one\n  two\n\tthree\nb =\n  x\n")).toEqual({
      "D/a": "one\ntwo\nthree",
      "D/b": "\nx",
    });
    expect(errorLine("[D]\na = one\n\n  two\n")).toBe(4);
    expect(errorLine("[D]\na = one\n# c\n  two\n")).toBe(4);
  });

  test("an empty value is empty, and CRLF files are read", () => {
    expect(values("[D]\r\na =\r\nb = 1\r\n")).toEqual({ "D/a": "", "D/b": "1" });
  });

  test("errors name the line", () => {
    expect(errorLine("[D]\n\nnonsense\n")).toBe(3);
    expect(errorLine("a = 1\n")).toBe(1);
    expect(errorLine("[D]\n= 1\n")).toBe(2);
    expect(errorLine("[D\n")).toBe(1);
    expect(errorLine("[]\n")).toBe(1);
  });

  test("an error never repeats the line, which may hold half a password", () => {
    expect(() => parseIni("[D]\nimage_server_password hunter2\n")).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("hunter2") }),
    );
  });

  test("what was written comes back", () => {
    const name = fc.stringMatching(/^[a-z_][a-z0-9_-]{0,12}$/);
    const value = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/).filter((text) => !/^["']/.test(text));
    const pairs = fc.array(fc.record({ section: name, key: name, value }));
    fc.assert(
      fc.property(pairs, fc.constantFrom("=", ":", " = ", " :\t"), (entries, separator) => {
        const text = entries.map(({ section, key, value: v }) => `[${section}]\n${key}${separator}${v}\n`);
        expect(parseIni(text.join("")).map(({ line: _, ...entry }) => entry)).toEqual(entries);
      }),
    );
  });

  test("any text is read or refused with the number of one of its lines", () => {
    const soup = fc.stringMatching(/^[[\]=:#;"' \t\r\na-c]{0,60}$/);
    fc.assert(
      fc.property(soup, (text) => {
        try {
          parseIni(text);
        } catch (error) {
          expect(error).toBeInstanceOf(IniError);
          const line = (error as IniError).line;
          expect(line).toBeGreaterThanOrEqual(1);
          expect(line).toBeLessThanOrEqual(text.split(/\r\n|\n|\r/).length);
        }
      }),
    );
  });
});
